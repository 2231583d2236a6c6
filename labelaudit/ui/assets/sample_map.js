// A map of samples: one dot each. Dots are selected with a lasso, a box, a click or the keyboard, and the
// images of the selected ones are beside the map. Images are fetched when they are needed.

const NEAR = 10 // pixels around a dot that belong to it
const SHOWN = 60 // selected images that are drawn
const AHEAD = 8 // images around the pointer that are fetched with the one below it
const PAUSE_MS = 60 // the pointer has to rest before an image is fetched
const AGAIN_MS = 4000 // without an answer, images are asked for again
const MOST = 100 // images asked for at once
const ARROW_KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }

class SampleMap extends MapPlot {
  constructor(root) {
    super(root.querySelector(".plot"))
    for (const name of ["tools", "hover", "legend", "said", "cards"]) this[name] = root.querySelector(`.${name}`)
    this.pictures = new Map() // by id; null if the image cannot be read
    this.wanted = new Set() // ids of images that were asked for
    const tool = (title, press) => this.tools.appendChild(keyButton(title, "", press, "small"))
    this.modes = {
      lasso: tool("Lasso", () => this.use("lasso")),
      box: tool("Box", () => this.use("box")),
      move: tool("Move", () => this.use("move")),
    }
    tool("Zoom in", () => this.zoom(1.5))
    tool("Zoom out", () => this.zoom(1 / 1.5))
    tool("Fit", () => this.fit())
    this.none = tool("Select none", () => this.select([]))
    this.use("lasso")
    const on = (name, act, options) => this.canvas.addEventListener(name, (event) => act.call(this, event), options)
    on("pointerdown", this.press)
    on("pointermove", this.point)
    on("pointerup", this.release)
    on("pointercancel", () => this.drop())
    on("pointerleave", () => this.held || this.show(null))
    on("wheel", this.wheel, { passive: false })
    on("keydown", this.key)
    on("blur", () => this.show(null))
  }

  update(data, ask, choose) {
    this.ask = ask
    this.choose = choose
    this.query = data.query
    for (const [id, picture] of data.pictures) {
      this.pictures.set(id, picture)
      this.wanted.delete(id)
    }
    if (data.points) {
      if (!this.points) this.selected = new Set(data.selected)
      this.version = data.version
      this.points = unpacked(data.points)
      this.index = new Map(Array.from(this.points.id, (id, i) => [id, i]))
      this.over = null
      this.drawLegend()
      this.tell()
    }
    this.expected = data.version
    if (this.version !== this.expected) return this.request([])
    this.showHover()
    this.drawCards()
    this.draw(Boolean(data.points))
  }

  // The dot at a place in pixels; null if there is none.
  dotAt([x, y]) {
    return this.nearest(x, y, 1, NEAR)[0] ?? null
  }

  // --- the pointer and the keyboard ---

  use(mode) {
    this.mode = mode
    for (const name in this.modes) this.modes[name].setAttribute("aria-pressed", name === mode)
    this.canvas.classList.toggle("moving", mode === "move")
  }

  spot(event) {
    const box = this.canvas.getBoundingClientRect()
    return [event.clientX - box.left, event.clientY - box.top]
  }

  press(event) {
    if (!this.points || event.button) return
    this.canvas.setPointerCapture(event.pointerId)
    this.held = [this.spot(event)] // where the pointer was pressed, and where it went
    this.moved = false
    this.show(null)
  }

  point(event) {
    if (!this.points) return
    const place = this.spot(event)
    if (!this.held) {
      clearTimeout(this.resting)
      const dot = this.dotAt(place)
      this.resting = setTimeout(() => this.show(dot), dot === this.over ? 0 : PAUSE_MS)
      return
    }
    if (this.mode === "move") {
      const [x, y] = this.held.at(-1)
      const [, , w, h] = this.area
      this.pan((place[0] - x) / w / this.scale, (place[1] - y) / h / this.scale)
    }
    this.held = this.mode === "lasso" ? [...this.held, place] : [this.held[0], place]
    this.moved ||= Math.hypot(place[0] - this.held[0][0], place[1] - this.held[0][1]) > 4
    this.shape = this.mode === "move" ? null : this.held
    this.draw(false)
  }

  release(event) {
    const held = this.held
    this.drop()
    if (!held) return
    if (!this.moved) {
      const dot = this.dotAt(held[0])
      if (dot !== null) this.toggle(dot, event.shiftKey || event.ctrlKey || event.metaKey)
      return
    }
    if (this.mode === "move") return
    const inside = this.mode === "box" ? inBox(held[0], held.at(-1)) : inPolygon(held)
    const ids = this.points.id.filter((_, i) => inside(this.at(i)))
    this.select(event.shiftKey ? [...this.selected, ...ids] : ids)
  }

  drop() {
    this.held = this.shape = null
    this.draw(false)
  }

  wheel(event) {
    if (!this.points || (this.scale === 1 && event.deltaY > 0)) return // the page scrolls on
    event.preventDefault()
    const [x, y] = this.spot(event)
    const [left, top, w, h] = this.area
    this.zoom(1.0015 ** -event.deltaY, (x - left) / w, (y - top) / h)
  }

  key(event) {
    if (!this.points) return
    if (event.key === "Escape") return this.show(null)
    if ((event.key === "Enter" || event.key === " ") && this.over !== null) this.toggle(this.over, true)
    else if (ARROW_KEYS[event.key]) this.step(...ARROW_KEYS[event.key])
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  // Go to the nearest visible dot in a direction.
  step(dx, dy) {
    const [w, h] = [this.width, this.height]
    const [x, y] = this.over === null ? [w / 2 - dx, h / 2 - dy] : this.at(this.over)
    let best = null, least = Infinity
    const [px, py] = this.places
    for (let i = 0; i < px.length; i++) {
      const along = (px[i] - x) * dx + (py[i] - y) * dy, across = Math.abs((px[i] - x) * dy) + Math.abs((py[i] - y) * dx)
      if (i === this.over || along <= 0 || px[i] < 0 || py[i] < 0 || px[i] > w || py[i] > h) continue
      if (along + 2 * across < least) [best, least] = [i, along + 2 * across]
    }
    if (best !== null) this.show(best)
  }

  toggle(i, more) {
    const id = this.points.id[i]
    const rest = [...this.selected].filter((other) => other !== id)
    if (!more) return this.select([id])
    this.select(this.selected.has(id) ? rest : [...rest, id])
  }

  select(ids) {
    this.selected = new Set(ids)
    this.choose("selected", [...this.selected])
    this.tell()
    this.drawCards()
    this.draw()
  }

  // --- images ---

  fetch(ids) {
    const missing = ids.filter((id) => !this.pictures.has(id) && !this.wanted.has(id))
    if (missing.length) this.request(missing)
  }

  // Ask for images, and for the dots if they are not here. All that is not answered yet is asked for,
  // because a question can replace the one before.
  request(ids) {
    const points = this.version !== this.expected
    this.wanted = new Set([...ids, ...this.wanted].slice(0, MOST))
    clearTimeout(this.timer)
    if (!this.wanted.size && !points) return
    this.ask("ask", { ids: [...this.wanted], points })
    this.timer = setTimeout(() => this.request([]), AGAIN_MS)
  }

  show(i) {
    clearTimeout(this.resting)
    if (i === this.over) return
    this.over = i
    this.showHover()
    this.draw(false)
    this.tell(i === null ? undefined : this.words(i))
  }

  showHover() {
    const i = this.over
    this.hover.hidden = i === null
    if (i === null) return
    const id = this.points.id[i], [x, y] = this.at(i)
    this.hover.replaceChildren(...this.face(i))
    const left = x + 150 > this.width ? x - 144 : x + 12
    this.hover.style.left = `${Math.max(left, 2)}px`
    this.hover.style.top = `${Math.max(Math.min(y - 70, this.height - this.hover.offsetHeight - 4), 2)}px`
    if (this.pictures.has(id)) return
    const around = this.nearest(x, y, AHEAD).map((j) => this.points.id[j])
    this.fetch([id, ...around.filter((other) => other !== id)])
  }

  words(i) {
    const { given, suggested, names, value, title } = this.points
    const to = suggested[i] >= 0 && suggested[i] !== given[i] ? `, suggested ${names[suggested[i]]}` : ""
    const number = value && Number.isFinite(value[i]) ? `, ${title} ${value[i].toFixed(3)}` : ""
    return `id ${this.points.id[i]}, labelled ${given[i] < 0 ? "nothing" : names[given[i]]}${to}${number}`
  }

  face(i) {
    const { given, suggested, names, value } = this.points
    const picture = this.pictures.get(this.points.id[i])
    const image = picture ? element("img", picture.small ? "crisp" : "") : element("div", "unread")
    if (picture) [image.src, image.alt] = [picture.uri, ""]
    else image.textContent = picture === null ? "Image cannot be read" : ""
    const labels = element("div", "words", given[i] < 0 ? "no label" : names[given[i]])
    if (suggested[i] >= 0 && suggested[i] !== given[i])
      labels.append(element("span", "arrow", " → "), element("span", "suggested", names[suggested[i]]))
    if (value && Number.isFinite(value[i])) labels.append(element("div", "", value[i].toFixed(3)))
    return [image, labels]
  }

  drawCards() {
    const places = [...this.selected].map((id) => this.index.get(id)).filter((i) => i !== undefined)
    places.sort((a, b) => a - b) // the points are sorted, most suspicious first
    const shown = places.slice(0, SHOWN)
    this.none.disabled = !places.length
    const ids = shown.map((i) => this.points.id[i])
    this.fetch(ids)
    const content = [this.version, ids, ids.filter((id) => this.pictures.has(id)).length].join()
    if (content === this.content) return // a focused card keeps the focus
    this.content = content
    this.cards.replaceChildren(
      ...shown.map((i) => {
        const card = element("a", "card")
        card.href = "review?" + this.query + this.points.id[i]
        card.target = "_self"
        card.title = this.words(i)
        card.setAttribute("aria-label", `Review sample ${this.words(i)}`)
        card.append(...this.face(i))
        return card
      }),
    )
  }

  tell(text) {
    const count = this.selected.size
    const first = count > SHOWN ? `, the ${SHOWN} most suspicious are shown` : ""
    const how = "Draw around dots with the mouse, or move with the arrow keys and select with Enter."
    this.said.textContent = text ?? (count ? `${count.toLocaleString("en")} selected${first}` : how)
  }

  drawLegend() {
    const { legend, id, given, title } = this.points
    this.canvas.setAttribute("aria-label", `Map of ${id.length.toLocaleString("en")} images: arrow keys move, Enter selects`)
    if (legend.colors) {
      const scale = element("span", "scale")
      scale.style.background = `linear-gradient(90deg, ${legend.colors.join(", ")})`
      this.legend.replaceChildren(element("span", "", `${title}: ${legend.low}`), scale, element("span", "", legend.high))
      return
    }
    this.legend.replaceChildren(
      ...legend.classes.map(({ name, index, color }) => {
        const button = keyButton(name, "", () => this.select(id.filter((_, i) => given[i] === index)), "small")
        button.setAttribute("aria-label", `Select all of ${name}`)
        const dot = element("i")
        dot.style.background = color
        button.prepend(dot)
        return button
      }),
    )
  }
}

export default ({ data, parentElement, setStateValue, setTriggerValue }) => {
  const map = (parentElement.map ??= new SampleMap(parentElement))
  map.update(data, setTriggerValue, setStateValue)
}
