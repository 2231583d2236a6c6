// Review one by one. The server sends the current sample and the next ones. The view moves on when the
// server has answered that the verdict is stored.

const SIZE = { curve: [300, 118] }
const CACHED_ITEMS = 64
const CACHED_FULL = 8 // images at full resolution

class ReviewOne extends Part {
  constructor(root) {
    super(root, ["one", "count", "bar", "figures", "estimate", "steps", "stage", "unclear", "said", "verdicts", "classes", "labels",
      "why", "bars", "curve", "legend", "near", "typical", "ranks", "facts", "note", "end"])
    this.channel.ready = () => this.data.current === null || this.items.has(this.data.current)
    this.items = new Map()
    this.typical = new Map() // images of each class
    this.full = new Map() // images at full resolution, by sample
    this.drafts = new Map() // notes that are not stored yet, by sample
    this.build()
  }

  // --- from the server ---

  update(data, send) {
    const asked = this.channel.waiting
    this.receive(data, send)
    // a note that was refused stays in its field, and so does what was typed since
    if (asked?.kind === "note" && !this.channel.waiting && !data.failed) this.noteStored(asked)
    if (data.version !== this.version) for (const cache of [this.items, this.typical]) cache.clear()
    for (const [name, images] of Object.entries(data.typical)) this.typical.set(name, images)
    this.version = data.version
    for (const item of data.items) {
      this.items.delete(item.id) // so that it is the newest entry
      this.items.set(item.id, item)
      this.preload(item)
    }
    for (const id of [...this.items.keys()].slice(0, -CACHED_ITEMS)) if (id !== data.current) this.items.delete(id)
    this.data = data
    if (data.full) this.receiveFull(data.full)
    this.draw()
    if (!this.channel.ready()) this.channel.begin(this.event("show")) // the server assumed we have it
    this.channel.pump()
  }

  // --- zoom ---

  // Ask for an image at full resolution, unless it is here or was asked for.
  loadFull(id) {
    if (this.full.has(id)) return
    this.full.set(id, null)
    this.act("full", { sample: id })
  }

  receiveFull({ id, image }) {
    if (!image) return
    const picture = new Image()
    picture.src = image
    picture.decode().then(() => this.useFull(id, picture)).catch(() => {})
  }

  useFull(id, picture) {
    for (const other of [...this.full.keys()].slice(0, -CACHED_FULL)) this.full.delete(other)
    this.full.set(id, picture)
    const shown = [[this.data.current, this.parts.stage], [this.viewer.id, this.viewer.frame]]
    for (const [sample, frame] of shown) {
      const image = frame.querySelector("img")
      if (sample === id && image) image.src = picture.src
    }
  }

  // Show the current image, or a similar one, on the whole screen.
  enlarge(near = null) {
    const item = this.item
    if (!item) return
    const image = near ? near.image : item.image
    if (!image) return
    const picture = near ? element("img", near.small ? "crisp" : "") : item.picture
    if (near) [picture.src, picture.alt] = [this.full.get(near.id)?.src ?? image, `sample ${near.id}`]
    const caption = near
      ? [`${near.typical ? "Typical" : "Similar"} image, labelled ${near.label ?? "nothing"}`]
      : [...this.parts.labels.children].map((node) => node.cloneNode(true))
    const id = near ? near.id : item.id
    this.viewer.show(id, picture, caption)
    if (!(near ?? item).small) this.loadFull(id)
  }

  preload(item) {
    item.picture = new Image()
    item.picture.className = item.small ? "crisp" : ""
    item.picture.alt = `sample ${item.id}`
    if (!item.image) return
    item.picture.src = item.image
    item.picture.decode?.().catch(() => {})
  }

  // --- to the server ---

  get item() {
    return this.items.get(this.data.current)
  }

  event(kind, more = {}) {
    const have = [...this.items.keys()]
    return { kind, version: this.version, have, classes: [...this.typical.keys()], ...more }
  }

  decide(verdict, label) {
    this.channel.push(() => {
      const item = this.item
      if (!item) return null // the end of the queue
      if (verdict === "default") verdict = item.default
      if (!verdict) return this.sayNoDefault()
      const accepted = verdict === "accept"
      if (accepted && item.suggests_unknown) return this.sayNoDefault() // no class to relabel to
      return this.event("decide", {
        verdict: accepted ? "relabel" : verdict,
        label: (accepted ? item.suggested : label) ?? null,
        sample: item.id,
        seen: [item.given],
        earlier: [this.ownVerdict(this.data.verdicts)],
      })
    })
  }

  // Enter gives the highlighted verdict. If none is highlighted, it only says so.
  sayNoDefault() {
    this.parts.figures.textContent = "Unclear: choose a verdict or a class with its own key."
    this.parts.figures.classList.add("noted")
    return null
  }

  get zoomed() {
    return this.viewer.isOpen ? this.viewer.zoom : this.zoom
  }

  // While a similar image is on the whole screen, keys are not about the current one.
  functionOf(key) {
    const found = super.functionOf(key)
    const isOther = this.viewer.isOpen && this.viewer.id !== this.data.current
    const { actions } = this.data.keys
    return isOther && !["full", "larger", "smaller", "similar"].some((name) => actions[name] === key) ? undefined : found
  }

  get mode() {
    return "one"
  }

  actions() {
    return {
      ArrowRight: () => this.act("step", { by: 1 }), ArrowLeft: () => this.act("step", { by: -1 }),
      Home: () => this.act("go", { place: 0 }),
      similar: () => this.showSimilar(), offered: () => this.data.offer && this.openGrid("offered"),
      search: () => this.search.focus(), go: () => this.jump.select(),
      note: () => this.data.sample_note !== null && this.writeNote(),
      full: () => (this.viewer.isOpen ? this.viewer.dialog.close() : this.enlarge()),
      larger: () => this.zoomed.by(KEY_STEP), smaller: () => this.zoomed.by(1 / KEY_STEP),
    }
  }

  fixedKeys() {
    return [["Enter", "the highlighted verdict"], ["→ ←", "skip, back"], ["Home", "first"], ["?", "these keys"]]
  }

  // Open the images that are similar to the one that is shown, as a grid.
  showSimilar() {
    const sample = this.viewer.isOpen ? this.viewer.id : this.data.current
    if (sample !== null) this.openGrid("similar", { sample })
  }

  // Leave the queue for a grid. The browser's Back returns to this sample.
  openGrid(kind, more) {
    this.channel.push(() => {
      History.prototype.pushState.call(history, {}, "") // not the method of address.js
      return this.event(kind, more)
    })
  }

  // --- the note ---

  // The note is stored when its field is left.
  buildNote() {
    this.note = this.parts.note.querySelector("textarea")
    this.note.addEventListener("input", () => {
      this.drafts.set(this.noted, this.note.value)
      this.fitNote()
    })
    this.note.addEventListener("blur", () => this.storeNote())
    this.note.addEventListener("keydown", (event) => {
      if (event.isComposing || (event.key !== "Escape" && (event.key !== "Enter" || event.shiftKey))) return
      event.preventDefault()
      this.note.blur()
    })
  }

  writeNote() {
    this.viewer.dialog.close() // the field is behind it
    this.note.focus()
    this.note.setSelectionRange(this.note.value.length, this.note.value.length)
  }

  storeNote() {
    const sample = this.noted
    const text = this.drafts.get(sample)?.trim()
    if (text === undefined) return
    if (text === this.seen) this.drafts.delete(sample)
    else this.act("note", { sample, text, seen: this.seen })
  }

  noteStored({ sample, text }) {
    if (this.drafts.get(sample)?.trim() === text) this.drafts.delete(sample)
    if (this.noted === sample) this.seen = text
  }

  fitNote() {
    this.note.style.height = "auto"
    this.note.style.height = `${this.note.scrollHeight + 2}px`
  }

  drawNote() {
    const { current, sample_note: stored } = this.data
    this.parts.note.hidden = stored === null // beside blind controls
    if (stored === null || (this.noted === current && this.root.activeElement === this.note)) return
    this.noted = current
    this.seen = stored // another window may store a note while one is written here
    this.note.value = this.drafts.get(current) ?? stored
    this.fitNote()
  }

  // --- fixed parts, built once ---

  build() {
    const part = (name) => this.root.querySelector(`.${name}`)
    this.jump = part("jump")
    this.search = part("search")
    this.options = part("options")
    this.zoom = new Zoom(this.parts.stage, () => !this.item?.small && this.loadFull(this.data.current))
    this.viewer = new Viewer(part("viewer"), () => {})
    this.buildButtons()
    this.buildNote()
    this.jump.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.jump.blur()
      if (event.key !== "Enter") return
      const place = Math.min(Math.max(parseInt(this.jump.value) || 1, 1), this.data.total) - 1
      this.jump.blur()
      this.act("go", { place })
    })
    this.jump.addEventListener("blur", () => this.draw())
    this.search.addEventListener("input", () => this.drawOptions())
    this.search.addEventListener("focus", () => this.drawOptions())
    this.search.addEventListener("blur", () => setTimeout(() => this.closeSearch(), 150))
    this.search.addEventListener("keydown", (event) => this.searchKey(event))
  }

  buildButtons() {
    const { verdicts, steps } = this.parts
    this.accept = actionButton("", "accept", () => this.decide("accept"), "main")
    this.keep = actionButton("", "keep", () => this.decide("keep"))
    this.remove = actionButton("Remove", "remove", () => this.decide("remove"))
    const unsure = actionButton("Unsure", "unsure", () => this.decide("unsure"))
    this.remove.title = "The image does not belong in this dataset"
    verdicts.append(this.accept, this.keep, this.remove, unsure)
    this.back = keyButton("Back", "←", () => this.act("step", { by: -1 }), "small")
    this.next = keyButton("Skip", "→", () => this.act("step", { by: 1 }), "small")
    this.whole = actionButton("Full screen", "full", () => this.enlarge(), "small")
    steps.append(this.back, this.next, this.whole)
    this.buildUndo(steps)
    steps.append(keyButton("Keys", "?", () => this.showKeys(), "small"))
    this.similar = actionButton("Show all", "similar", () => this.showSimilar(), "small")
    this.parts.near.previousElementSibling.append(this.similar)
  }

  // --- the search for a class ---

  matches() {
    const words = this.search.value.trim().toLowerCase()
    const found = this.data.classes.filter((name) => name.toLowerCase().includes(words))
    const starts = (name) => !name.toLowerCase().startsWith(words)
    return found.sort((a, b) => starts(a) - starts(b)).slice(0, 8)
  }

  drawOptions() {
    this.chosen = 0
    this.options.replaceChildren(
      ...this.matches().map((name, i) => {
        const option = element("div", i ? "" : "chosen", name)
        option.addEventListener("mousedown", () => this.choose(name))
        return option
      }),
    )
    this.options.hidden = false
  }

  searchKey(event) {
    const count = this.options.children.length
    if (event.key === "Escape") this.search.blur()
    else if (event.key === "Enter" && count) this.choose(this.options.children[this.chosen].textContent)
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      this.chosen = (this.chosen + (event.key === "ArrowDown" ? 1 : count - 1)) % count
      ;[...this.options.children].forEach((o, i) => o.classList.toggle("chosen", i === this.chosen))
    } else return
    event.preventDefault()
    event.stopPropagation()
  }

  choose(name) {
    this.search.blur()
    this.decide("relabel", name)
  }

  closeSearch() {
    this.options.hidden = true
    this.search.value = ""
  }

  // --- drawing ---

  draw() {
    const { data, item } = this
    const ended = data.current === null
    this.parts.one.classList.toggle("ended", ended)
    this.drawProgress()
    this.drawPlace(ended)
    if (ended) {
      this.viewer.dialog.close()
      this.parts.end.textContent = data.total
        ? `End of the queue. Go back with ←, change the filters, or apply your verdicts. ${data.controls}`
        : data.empty
      return
    }
    if (!item) return
    if (this.shown !== item) {
      this.drawItem(item)
      if (this.viewer.isOpen) this.enlarge()
    }
    this.shown = item
    this.drawSaid(item)
    this.drawNote()
    this.drawKeys(item)
  }

  // The reviewer's keys, on the buttons and for the classes.
  drawKeys(item) {
    const { go, search } = this.data.keys.actions
    this.drawCaps()
    this.jump.title = go ? `Go to a number (${capOf(go)})` : "Go to a number"
    this.search.placeholder = `${capOf(search)}  search classes`.trim()
    const classes = JSON.stringify(this.data.keys.classes) + this.version + item.id
    if (classes !== this.drawnClasses) this.drawClasses(item)
    this.drawnClasses = classes
  }

  drawPlace(ended) {
    const { data } = this
    if (this.root.activeElement !== this.jump) this.jump.value = ended ? data.total : data.place + 1
    this.jump.size = Math.max(this.jump.value.length, 2)
    this.parts.count.textContent = `of ${data.total.toLocaleString("en")}`
    this.back.disabled = data.place <= 0
    this.next.disabled = ended
  }

  drawSaid(item) {
    const own = this.data.verdicts
    const { offer } = this.data
    const said = own.map((v) => element("span", `verdict ${v.verdict}`, `${v.reviewer}: ${verdictWords(v)}`))
    if (offer) {
      const images = offer.count === 1 ? "1 similar image" : `${offer.count} similar images`
      said.push(actionButton(`${images} may have the same wrong label`, "offered", () => this.openGrid("offered"), "small"))
    }
    this.parts.said.replaceChildren(...said)
  }

  drawItem(item) {
    const { parts, data } = this
    parts.stage.replaceChildren(item.image ? item.picture : element("span", "", "Image cannot be read"))
    this.zoom.reset()
    this.accept.firstChild.textContent = item.suggests_unknown
      ? `${item.suggested} is not a class here` : `Relabel as ${item.suggested}`
    this.accept.disabled = item.suggests_unknown
    for (const name of ["accept", "keep", "remove"]) this[name].classList.toggle("main", item.default === name)
    parts.unclear.textContent = item.unclear
    this.keep.firstChild.textContent = item.given ? `Keep ${item.given}` : "Keep without label"
    parts.labels.replaceChildren(
      element("span", "given", item.given ?? "no label"), element("span", "arrow", "→"),
      element("span", "suggested", item.suggested),
      ...(item.check ? [checkBadge(item.check)] : []),
    )
    parts.why.textContent = item.why
    parts.bars.parentElement.hidden = !item.probabilities.length
    parts.bars.replaceChildren(...item.probabilities.map((row) => this.barOf(item, row)))
    parts.curve.replaceChildren(...(item.p_given ? [curves(item, data.colors)] : []))
    parts.legend.replaceChildren(...legend(item, data.colors))
    parts.curve.parentElement.hidden = !item.p_given
    parts.near.replaceChildren(...item.neighbours.map((n) => this.neighbour(item, n)))
    parts.near.parentElement.hidden = !item.neighbours.length
    this.drawTypical(item)
    parts.ranks.replaceChildren(...item.ranks.map(rank))
    parts.ranks.parentElement.hidden = !item.ranks.length
    const file = item.filepath.split("/").pop()
    const facts = [`id ${item.id}`, file, item.split, ...item.tags].filter(Boolean)
    parts.facts.textContent = facts.join(" · ")
    parts.facts.title = item.filepath
  }

  drawTypical(item) {
    const cards = [item.given, item.suggested].flatMap((name) =>
      (this.typical.get(name) ?? []).filter((image) => image.id !== item.id).map((image) =>
        this.neighbour(item, { ...image, label: name, typical: true }),
      ),
    )
    this.parts.typical.replaceChildren(...cards)
    this.parts.typical.parentElement.hidden = !cards.length
  }

  drawClasses(item) {
    const { classes: keys } = this.data.keys
    this.parts.classes.replaceChildren(
      ...Object.entries(keys).map(([name, key]) => {
        const mark = name === item.suggested ? "suggested" : name === item.given ? "given" : ""
        const button = keyButton(name, capOf(key), () => this.decide("relabel", name), `small ${mark}`)
        button.style.setProperty("--dot", this.data.colors[name])
        return button
      }),
    )
    this.search.hidden = this.data.classes.every((name) => keys[name])
  }

  barOf(item, [name, share]) {
    const row = element("div", "bar-row")
    const mark = name === item.given ? " given" : name === item.suggested ? " suggested" : ""
    const track = element("div", "track")
    const fill = element("div", "fill")
    fill.style.width = width(share)
    fill.style.background = this.data.colors[name]
    track.append(fill)
    row.append(element("span", `name${mark}`, name), track, element("span", "value", percent(share)))
    return row
  }

  neighbour(item, near) {
    const card = element("button", "near-card")
    card.type = "button"
    card.addEventListener("click", (event) => {
      releaseFocus(event)
      this.enlarge(near)
    })
    const picture = near.image
      ? element("img", near.small ? "crisp" : "")
      : element("div", "unread", "Image cannot be read")
    if (near.image) picture.src = near.image
    if (near.image) picture.alt = ""
    const label = element("span", near.label === item.given ? "" : "other", near.label ?? "none")
    label.style.setProperty("--dot", this.data.colors[near.label] ?? "transparent")
    card.append(picture, label)
    card.title = `id ${near.id}: ${near.label}` + (near.typical ? "" : `, similarity ${near.similarity.toFixed(2)}`)
    card.setAttribute("aria-label", `Enlarge ${near.typical ? "typical" : "similar"} image ${near.id}, ${near.label ?? "no label"}`)
    return card
  }
}

function rank({ title, value, percentile }) {
  const row = element("div", "rank")
  const track = element("div", "track")
  const fill = element("div", "fill")
  fill.style.width = `${percentile}%`
  track.append(fill)
  row.append(element("span", "name", title), track, element("span", "value", percentile.toFixed(1)))
  row.title = `${title} ${value.toFixed(4)}: more suspicious than ${percentile.toFixed(2)}% of the samples`
  return row
}

function checkBadge(words) {
  const badge = element("span", "badge", words)
  badge.title = "Not a suspect, but a random sample. It shows how many wrong labels the ranking misses."
  return badge
}

// The lines: this image, and the median image of the given and of the suggested class.
function legend(item, colors) {
  const lines = [["this image", ""], [item.given, "dash"], [item.suggested, "dash"]]
  return lines.map(([name, kind]) => {
    const line = element("span")
    const mark = element("i", kind)
    if (kind) mark.style.borderColor = colors[name]
    line.append(mark, kind ? `median ${name}` : name)
    return line
  })
}

function curves(item, colors) {
  const [width, height] = SIZE.curve
  const space = "http://www.w3.org/2000/svg"
  const svg = document.createElementNS(space, "svg")
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
  const left = 26, bottom = 16
  const at = (values) => {
    const step = (width - left - 6) / Math.max(values.length - 1, 1)
    return values
      .map((v, i) => (v === null ? null : [left + i * step, 4 + (1 - v) * (height - bottom - 8)]))
      .filter(Boolean)
  }
  const add = (tag, attributes, text) => {
    const node = document.createElementNS(space, tag)
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
    if (text !== undefined) node.textContent = text
    svg.append(node)
    return node
  }
  for (const share of [0, 0.5, 1]) {
    const [, y] = at([share])[0]
    add("line", { x1: left, x2: width - 4, y1: y, y2: y, class: "grid" })
    add("text", { x: left - 4, y: y + 3.5, class: "tick right" }, percent(share))
  }
  add("text", { x: left, y: height - 3, class: "tick" }, "epoch 1")
  add("text", { x: width - 4, y: height - 3, class: "tick right" }, String(item.p_given.length))
  const line = (values, name, color) => {
    if (!values) return
    const points = at(values)
    const curve = add("polyline", { points: points.map((p) => p.join()).join(" "), class: name })
    if (color) curve.style.stroke = color
  }
  line(item.median_given, "median", colors[item.given])
  line(item.median_suggested, "median", colors[item.suggested])
  line(item.p_given, "own")
  return svg
}

export default (component) => mount(ReviewOne, component)
