// The dots of a map on a canvas: where they are, zoom, and how they are drawn. Beside `points` it draws which
// dots are selected, which one is pointed at, and the shape that is being drawn around dots.

const MOST_ZOOM = 60

class MapPlot {
  constructor(plot) {
    this.plot = plot
    this.canvas = plot.querySelector("canvas")
    this.selected = new Set() // ids
    this.over = null // index of the dot that is pointed at
    this.shape = null // corners in pixels; two are a box
    this.fit()
    new ResizeObserver(() => {
      this.width = plot.clientWidth
      this.height = plot.clientHeight
      this.draw()
    }).observe(plot)
  }

  // --- places: of a dot from 0 to 1, upwards; of the canvas in pixels ---

  // Where the dots are: left, top, width and height.
  get area() {
    const [left, top, bottom] = this.points.axes ? [44, 28, 36] : [14, 14, 14]
    return [left, top, this.width - left - 14, this.height - top - bottom]
  }

  at(i) {
    return this.pixel(this.points.x[i], this.points.y[i])
  }

  pixel(x, y) {
    const [left, top, w, h] = this.area
    return [left + (x - this.x0) * this.scale * w, top + (1 - y - this.y0) * this.scale * h]
  }

  fit() {
    this.scale = 1
    this.x0 = this.y0 = 0 // what is in the upper left corner
    this.draw()
  }

  // Keep the place below the pointer, or the centre.
  zoom(factor, px = 0.5, py = 0.5) {
    const scale = Math.min(Math.max(this.scale * factor, 1), MOST_ZOOM)
    this.x0 += px / this.scale - px / scale
    this.y0 += py / this.scale - py / scale
    this.scale = scale
    this.pan(0, 0)
  }

  pan(dx, dy) {
    const most = 1 - 1 / this.scale
    this.x0 = Math.min(Math.max(this.x0 - dx, 0), most)
    this.y0 = Math.min(Math.max(this.y0 - dy, 0), most)
    this.draw()
  }

  draw() {
    if (this.pending || !this.points) return
    this.pending = requestAnimationFrame(() => {
      this.pending = null
      this.paint()
    })
  }

  paint() {
    const { canvas } = this, ratio = window.devicePixelRatio || 1
    canvas.width = canvas.clientWidth * ratio
    canvas.height = canvas.clientHeight * ratio
    const context = canvas.getContext("2d")
    context.scale(ratio, ratio)
    const ink = getComputedStyle(canvas).color
    const { id, color, palette, suspect, axes } = this.points
    const [left, top, w, h] = this.area
    if (axes) this.paintAxes(context, ink, axes)
    context.beginPath()
    context.rect(left - 8, top - 8, w + 16, h + 16)
    context.clip()
    for (let i = id.length - 1; i >= 0; i--) { // the most suspicious on top
      const on = this.selected.has(id[i])
      context.globalAlpha = this.selected.size && !on ? 0.2 : suspect[i] || on ? 0.95 : 0.5
      context.fillStyle = palette[color[i]]
      context.beginPath()
      context.arc(...this.at(i), suspect[i] ? 4.2 : 2.7, 0, 7)
      context.fill()
    }
    context.globalAlpha = 1
    context.strokeStyle = ink
    context.lineWidth = 2
    if (this.over !== null) {
      context.beginPath()
      context.arc(...this.at(this.over), 7, 0, 7)
      context.stroke()
    }
    if (this.shape) this.paintShape(context)
  }

  paintShape(context) {
    const [[x, y], [u, v]] = [this.shape[0], this.shape.at(-1)]
    context.lineWidth = 1.5
    context.setLineDash([5, 4])
    context.beginPath()
    if (this.shape.length === 2) context.rect(x, y, u - x, v - y)
    else for (const place of this.shape) context.lineTo(...place)
    context.stroke()
    context.globalAlpha = 0.08
    context.fillStyle = context.strokeStyle
    context.fill()
    context.globalAlpha = 1
    context.setLineDash([])
  }

  paintAxes(context, ink, { x, y }) {
    const [left, top, w, h] = this.area
    context.fillStyle = ink
    context.font = "12px sans-serif"
    context.textAlign = "center"
    for (const [place, text] of x.ticks) {
      const px = this.pixel(place, 0)[0]
      if (px >= left && px <= left + w) context.fillText(text, px, top + h + 18)
    }
    context.textAlign = "right"
    for (const [place, text] of y.ticks) {
      const py = this.pixel(0, place)[1]
      if (py >= top && py <= top + h) context.fillText(text, left - 10, py + 4)
    }
    context.fillText(`${x.title} →`, left + w, top + h + 33)
    context.textAlign = "left"
    context.fillText(`↑ ${y.title}`, 6, 13)
  }
}

function inBox([x, y], [u, v]) {
  const [left, right, top, bottom] = [Math.min(x, u), Math.max(x, u), Math.min(y, v), Math.max(y, v)]
  return ([px, py]) => px >= left && px <= right && py >= top && py <= bottom
}

// Even-odd rule: a ray to the right crosses the border an odd number of times.
function inPolygon(corners) {
  return ([px, py]) => {
    let inside = false
    for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
      const [x, y] = corners[i], [u, v] = corners[j]
      if (y > py !== v > py && px < ((u - x) * (py - y)) / (v - y) + x) inside = !inside
    }
    return inside
  }
}
