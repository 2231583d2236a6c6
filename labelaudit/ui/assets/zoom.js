// Zoom and pan of an image: wheel, double click, drag, and pinch on a trackpad. The image fits its frame first.

const MAX_ZOOM = 40 // screen pixels per pixel of the fitted image
const WHEEL_STEP = 1.0015 // per unit of wheel movement
const KEY_STEP = 1.5

class Zoom {
  constructor(frame, onZoom = () => {}) {
    this.frame = frame
    this.onZoom = onZoom // called when the image is first enlarged, to load it at full resolution
    this.reset()
    frame.addEventListener("wheel", (event) => this.wheel(event), { passive: false })
    frame.addEventListener("dblclick", (event) => this.toggle(event))
    frame.addEventListener("pointerdown", (event) => this.grab(event))
    frame.addEventListener("pointermove", (event) => this.drag(event))
    for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, () => (this.held = null))
  }

  get picture() {
    return this.frame.querySelector("img")
  }

  reset() {
    this.scale = 1
    this.x = this.y = this.held = null
    this.x = this.y = 0
    this.apply()
  }

  // Zoom around a point of the frame, which keeps its place. Without an event: around the centre.
  by(factor, event) {
    const box = this.frame.getBoundingClientRect()
    const px = event ? event.clientX - box.left - box.width / 2 : 0
    const py = event ? event.clientY - box.top - box.height / 2 : 0
    const scale = Math.min(Math.max(this.scale * factor, 1), MAX_ZOOM)
    const ratio = scale / this.scale
    this.x = px - (px - this.x) * ratio
    this.y = py - (py - this.y) * ratio
    if (scale > 1 && this.scale === 1) this.onZoom()
    this.scale = scale
    this.apply()
  }

  wheel(event) {
    if (!this.picture) return
    if (this.scale === 1 && event.deltaY > 0) return // the page scrolls on
    event.preventDefault()
    this.by(WHEEL_STEP ** -event.deltaY, event)
  }

  // Between the fitted image and one image pixel per screen pixel, but at least 2 times.
  toggle(event) {
    if (!this.picture) return
    if (this.scale > 1) return this.reset()
    const { naturalWidth, naturalHeight } = this.picture
    const box = this.frame.getBoundingClientRect()
    const fitted = Math.min(box.width / naturalWidth, box.height / naturalHeight)
    this.by(Math.max(1 / fitted, 2), event)
  }

  grab(event) {
    if (this.scale === 1 || event.button !== 0) return
    this.held = { x: event.clientX - this.x, y: event.clientY - this.y }
    this.frame.setPointerCapture(event.pointerId)
  }

  drag(event) {
    if (!this.held) return
    this.x = event.clientX - this.held.x
    this.y = event.clientY - this.held.y
    this.apply()
  }

  apply() {
    const { width, height } = this.frame.getBoundingClientRect()
    const reach = (side) => (side * (this.scale - 1)) / 2 // the image cannot be moved out of its frame
    this.x = Math.min(Math.max(this.x, -reach(width)), reach(width))
    this.y = Math.min(Math.max(this.y, -reach(height)), reach(height))
    if (this.picture) this.picture.style.transform = this.scale === 1 ? "" : `translate(${this.x}px, ${this.y}px) scale(${this.scale})`
    this.frame.classList.toggle("zoomed", this.scale > 1)
  }
}

// Shows one image on the whole screen, with brightness and contrast. `onZoom` is as in Zoom.
class Viewer {
  constructor(dialog, onZoom) {
    this.dialog = dialog
    const part = (name) => dialog.querySelector(`.${name}`)
    this.frame = part("frame")
    this.caption = part("caption")
    this.brightness = part("brightness")
    this.contrast = part("contrast")
    this.zoom = new Zoom(this.frame, () => onZoom(this.id))
    for (const slider of [this.brightness, this.contrast]) {
      slider.addEventListener("input", () => this.applyLight())
      slider.addEventListener("pointerup", () => this.dialog.focus()) // so that keys are verdicts again
    }
    part("plain").addEventListener("click", (event) => {
      releaseFocus(event)
      this.brightness.value = this.contrast.value = 100
      this.applyLight()
    })
    part("shut").addEventListener("click", () => dialog.close())
    dialog.addEventListener("close", () => this.frame.replaceChildren())
  }

  get isOpen() {
    return this.dialog.open
  }

  // picture: an <img>, which is copied. caption: nodes. id: of the sample.
  show(id, picture, caption) {
    if (this.id !== id || !this.isOpen) this.zoom.reset()
    this.id = id
    this.frame.replaceChildren(picture.cloneNode())
    this.caption.replaceChildren(...caption)
    this.zoom.apply()
    this.applyLight()
    if (this.isOpen) return
    this.dialog.showModal()
    this.dialog.focus() // not its first slider
  }

  applyLight() {
    const light = `brightness(${this.brightness.value}%) contrast(${this.contrast.value}%)`
    if (this.zoom.picture) this.zoom.picture.style.filter = light
  }
}
