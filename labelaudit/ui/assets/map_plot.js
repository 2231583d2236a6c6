// The dots of a map on a canvas: where they are, zoom, and how they are drawn. Beside `points` it draws which
// dots are selected, which one is pointed at, and the shape that is being drawn around dots. The dots are painted
// on a layer of their own, which is kept while only the pointer moves.

const MOST_ZOOM = 60
const MOST_COORDINATE = 65535 // coordinates are sent as whole numbers from 0
const SUSPECT_RADIUS = 4.2, RADIUS = 2.7
const ARRAYS = {
  int8: Int8Array, int16: Int16Array, int32: Int32Array, uint16: Uint16Array, float32: Float32Array, float64: Float64Array,
}

// Return the points with columns of numbers as typed arrays; see `packed` of sample_map.py.
function unpacked(points) {
  const column = ({ kind, base64 }) => new ARRAYS[kind](Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer)
  const columns = Object.entries(points.columns).map(([name, packed]) => [name, column(packed)])
  const found = { ...points, ...Object.fromEntries(columns) }
  for (const axis of ["x", "y"]) found[axis] = Float32Array.from(found[axis], (v) => v / MOST_COORDINATE)
  return found
}

class MapPlot {
  constructor(plot) {
    this.plot = plot
    this.canvas = plot.querySelector("canvas")
    this.layer = document.createElement("canvas") // with the dots
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
    const [px, py] = this.places
    return [px[i], py[i]]
  }

  // Where all dots are, in pixels: two arrays.
  get places() {
    if (!this.moved) return this.known
    const { x, y } = this.points, { x0, y0, scale } = this
    const [left, top, w, h] = this.area
    this.moved = false
    return (this.known = [
      x.map((v) => left + (v - x0) * scale * w),
      y.map((v) => top + (1 - v - y0) * scale * h),
    ])
  }

  // Return the dots nearest to a place, at most `count` within `radius` pixels, nearest first.
  nearest(x, y, count, radius = Infinity) {
    const [px, py] = this.places, found = [] // [square of the distance, dot]
    for (let i = 0, least = radius ** 2; i < px.length; i++) {
      const distance = (px[i] - x) ** 2 + (py[i] - y) ** 2
      if (distance >= least) continue
      found.push([distance, i])
      found.sort((a, b) => a[0] - b[0])
      found.length = Math.min(found.length, count)
      if (found.length === count) least = found.at(-1)[0]
    }
    return found.map(([, i]) => i)
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

  // dots: whether they have changed, and not only what is drawn over them.
  draw(dots = true) {
    if (dots) this.moved = this.stale = true
    if (this.pending || !this.points) return
    this.pending = requestAnimationFrame(() => {
      this.pending = null
      this.paint()
    })
  }

  paint() {
    const { canvas, layer } = this, ratio = window.devicePixelRatio || 1
    const style = getComputedStyle(canvas), ink = style.color
    canvas.width = canvas.clientWidth * ratio // also clears it
    canvas.height = canvas.clientHeight * ratio
    if (this.stale || layer.width !== canvas.width || layer.height !== canvas.height || this.ink !== ink) {
      this.ink = ink // of another theme
      this.background = style.getPropertyValue("--st-background-color") || "white"
      this.paintLayer(ratio)
    }
    const context = canvas.getContext("2d")
    context.drawImage(layer, 0, 0)
    context.scale(ratio, ratio)
    this.clip(context)
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

  clip(context) {
    const [left, top, w, h] = this.area
    context.beginPath()
    context.rect(left - 8, top - 8, w + 16, h + 16)
    context.clip()
  }

  paintLayer(ratio) {
    const { canvas, layer, ink } = this
    this.stale = false
    layer.width = canvas.width // also clears it
    layer.height = canvas.height
    const context = layer.getContext("2d")
    this.paintDots(context, ratio)
    context.scale(ratio, ratio)
    if (this.points.axes) this.paintAxes(context, ink, this.points.axes)
  }

  // Dots are mixed into an array of pixels: 100,000 take 30 ms, as circles of a canvas half a second.
  paintDots(context, ratio) {
    const { id, color, palette, suspect } = this.points, { selected, layer } = this
    const [px, py] = this.places, [left, top, w, h] = this.area.map((length) => length * ratio)
    const colors = rgb([...palette, this.background]), { data } = colors
    const edge = Math.ceil(8 * ratio), stride = layer.width + 2 * edge // dots may stand out at the sides
    const image = new ImageData(stride, layer.height + 2 * edge), pixels = image.data
    new Uint32Array(pixels.buffer).fill(new Uint32Array(data.buffer)[palette.length])
    const kinds = [RADIUS, SUSPECT_RADIUS].map((radius) => [0.2, 0.5, 0.95].map((alpha) => stamp(radius * ratio, alpha, stride)))
    for (let i = id.length - 1; i >= 0; i--) { // the most suspicious on top
      const x = Math.round(px[i] * ratio), y = Math.round(py[i] * ratio)
      if (!(x > left - edge && x < left + w + edge && y > top - edge && y < top + h + edge)) continue
      const on = selected.size > 0 && selected.has(id[i])
      const { places, alphas } = kinds[suspect[i]][selected.size && !on ? 0 : suspect[i] || on ? 2 : 1]
      const first = 4 * (x + edge + (y + edge) * stride), at = 4 * color[i]
      const red = data[at], green = data[at + 1], blue = data[at + 2]
      for (let j = 0; j < places.length; j++) {
        const place = first + places[j], alpha = alphas[j]
        pixels[place] += ((red - pixels[place]) * alpha) >> 8
        pixels[place + 1] += ((green - pixels[place + 1]) * alpha) >> 8
        pixels[place + 2] += ((blue - pixels[place + 2]) * alpha) >> 8
      }
    }
    context.putImageData(image, -edge, -edge, edge, edge, layer.width, layer.height)
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

// Return the bytes of colours, RGBA.
function rgb(colors) {
  const line = document.createElement("canvas")
  line.width = colors.length
  line.height = 1
  const context = line.getContext("2d")
  colors.forEach((color, i) => {
    context.fillStyle = color
    context.fillRect(i, 0, 1, 1)
  })
  return context.getImageData(0, 0, colors.length, 1)
}

// Return the pixels of a dot: places in an array of RGBA pixels from its middle, and opacities from 0 to 256.
function stamp(radius, alpha, stride) {
  const side = 2 * Math.ceil(radius + 1), dot = document.createElement("canvas")
  dot.width = dot.height = side
  const context = dot.getContext("2d")
  context.arc(side / 2, side / 2, radius, 0, 7)
  context.fill()
  const { data } = context.getImageData(0, 0, side, side)
  const filled = [...Array(side * side).keys()].filter((i) => data[4 * i + 3])
  return {
    places: filled.map((i) => 4 * ((i % side) - side / 2 + (Math.floor(i / side) - side / 2) * stride)),
    alphas: filled.map((i) => Math.round((256 * alpha * data[4 * i + 3]) / 255)),
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
