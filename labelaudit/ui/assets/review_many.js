// Review many at once: select samples on a page, or the whole queue, and give them one verdict.

const LATER_MS = 300 // after a page is drawn, its other images are asked for

class ReviewMany extends Part {
  constructor(root) {
    super(root, ["pages", "count", "bar", "figures", "estimate", "undo", "verdicts", "question", "cards", "end"])
    this.selected = new Set()
    this.all = false // whether the whole queue is selected, not only samples on this page
    this.pictures = new Map() // by id, of this page; the image is null if it cannot be read
    this.build()
  }

  update(data, send) {
    const decided = this.channel.waiting?.kind?.startsWith("decide")
    this.receive(data, send)
    if (decided && !this.channel.waiting && !data.failed) this.clear() // the selected samples have their verdict
    if (data.question) this.question = data.question
    const page = `${data.version}/${data.total}/${data.place}/${data.items.map((item) => item.id).join()}`
    const fresh = page !== this.page
    if (fresh) this.clear()
    this.page = page
    this.data = data
    this.keepPictures()
    if (fresh) this.drawCards()
    this.draw()
    this.channel.pump()
    clearTimeout(this.later)
    this.later = setTimeout(() => this.askForImages(), LATER_MS)
  }

  // The server sends the images in sight first. They are on the screen now.
  askForImages() {
    if (this.channel.idle && this.data.items.some(({ id }) => !this.pictures.has(id))) this.act("images")
  }

  close() {
    clearTimeout(this.later)
    super.close()
  }

  keepPictures() {
    const { version, items } = this.data
    const before = this.version === version ? this.pictures : new Map()
    this.version = version
    this.pictures = new Map()
    for (const item of items) {
      const picture = "image" in item ? item : before.get(item.id)
      if (picture) this.pictures.set(item.id, picture)
    }
  }

  clear() {
    this.selected.clear()
    this.all = false
    this.last = null
    this.question = null
  }

  // --- to the server ---

  event(kind, more = {}) {
    return { kind, version: this.version, have: [...this.pictures.keys()], ...more }
  }

  decide(verdict, label = null) {
    this.channel.push(() => {
      if (!this.selected.size && !this.all) return null
      if (verdict === "default") verdict = this.default()
      if (!verdict) return null
      if (this.all) return this.event("ask", { verdict, label, count: this.data.all }) // also about pages not seen
      const given = new Map(this.data.items.map((item) => [item.id, item.given]))
      const samples = [...this.selected]
      const seen = samples.map((id) => given.get(id))
      const own = new Map(this.data.items.map((item, i) => [item.id, this.data.verdicts[i]]))
      const earlier = samples.map((id) => this.ownVerdict([own.get(id)]))
      return this.event("decide", { verdict, label, samples, seen, earlier })
    })
  }

  // Give the whole queue the verdict that the question was about.
  confirm() {
    const { verdict, label, count } = this.question
    this.act("decide_all", { verdict, label, count })
  }

  // The verdict that is highlighted and that Enter gives. Suggestions must all be clear.
  default() {
    if (this.all) return ""
    if (this.data.outliers) return "remove"
    return this.data.items.every((item) => item.clear || !this.selected.has(item.id)) ? "accept" : ""
  }

  get mode() {
    return "many"
  }

  actions() {
    return {
      select: () => this.selectPage(), Escape: () => this.selectNone(),
      ArrowRight: () => this.turn(1), ArrowLeft: () => this.turn(-1),
    }
  }

  fixedKeys() {
    return [
      ["Enter", "the highlighted verdict"], ["Click", "select one"], ["Shift + click, drag", "select a range"],
      ["Esc", "select none"], ["→ ←", "next page, page before"], ["?", "these keys"],
    ]
  }

  turn(by) {
    const page = this.data.page + by
    if (page >= 1 && page <= this.data.pages) this.act("page", { page })
  }

  // --- selection ---

  toggle(place, event) {
    const cards = this.data.items
    const on = !this.selected.has(cards[place].id)
    const from = event.shiftKey && this.last !== null ? Math.min(this.last, place) : place
    const to = event.shiftKey && this.last !== null ? Math.max(this.last, place) : place
    for (let i = from; i <= to; i++) this.selected[on ? "add" : "delete"](cards[i].id)
    this.last = place
    this.all = false
    this.question = null
    this.draw()
  }

  // Drag from one card to another with the mouse: all between them are selected, or none.
  buildDrag() {
    const { cards } = this.parts
    const placeAt = (event) => [...cards.children].indexOf(event.target.closest?.(".card"))
    cards.addEventListener("pointerdown", (event) => {
      this.dragged = null
      if (event.pointerType !== "mouse" || event.button !== 0 || event.shiftKey) return
      const from = placeAt(event)
      if (from >= 0) this.dragged = { from, to: from, on: !this.selected.has(this.data.items[from].id), before: new Set(this.selected) }
    })
    cards.addEventListener("pointermove", (event) => {
      const to = this.dragged && event.buttons ? placeAt(event) : -1
      if (to < 0 || to === this.dragged.to) return
      this.dragged.to = to
      this.dragged.moved = true
      this.selectRange(this.dragged)
    })
    cards.addEventListener("click", (event) => {
      if (!this.dragged?.moved) return // an ordinary click, which selects one card
      event.stopPropagation()
      this.dragged = null
    }, true)
  }

  selectRange({ from, to, on, before }) {
    this.selected = new Set(before)
    const [first, last] = [Math.min(from, to), Math.max(from, to)]
    for (let i = first; i <= last; i++) this.selected[on ? "add" : "delete"](this.data.items[i].id)
    this.last = to
    this.all = false
    this.question = null
    this.draw()
  }

  selectPage() {
    const every = this.data.items.every((item) => this.selected.has(item.id))
    if (every) return this.selectNone()
    this.all = false
    this.question = null
    this.data.items.forEach((item) => this.selected.add(item.id))
    this.draw()
  }

  selectAll() {
    this.selected.clear()
    this.all = true
    this.draw()
  }

  selectNone() {
    this.clear()
    this.draw()
  }

  // --- drawing ---

  build() {
    const { pages, undo, verdicts } = this.parts
    this.first = keyButton("First", "", () => this.act("page", { page: 1 }), "small")
    this.back = keyButton("Back", "←", () => this.turn(-1), "small")
    this.next = keyButton("Next", "→", () => this.turn(1), "small")
    this.end = keyButton("Last", "", () => this.act("page", { page: this.data.pages }), "small")
    pages.append(this.first, this.back, this.next, this.end)
    this.buildUndo(undo)
    undo.append(keyButton("Keys", "?", () => this.showKeys(), "small"))
    this.buildDrag()
    this.every = actionButton("", "select", () => this.selectPage())
    this.whole = keyButton("", "", () => this.selectAll())
    this.tally = element("span", "tally")
    this.buttons = [
      actionButton("Accept suggestions", "accept", () => this.decide("accept"), "main"),
      actionButton("Keep", "keep", () => this.decide("keep")),
      actionButton("Remove", "remove", () => this.decide("remove")),
      actionButton("Unsure", "unsure", () => this.decide("unsure")),
    ]
    verdicts.append(this.every, this.whole, this.tally, ...this.buttons)
  }

  drawQuestion() {
    const { question } = this.parts
    const asked = this.question
    question.hidden = !asked
    if (!asked) return question.replaceChildren()
    if (question.firstChild?.textContent === asked.text) return // keep the focus
    const yes = keyButton(asked.action, "", () => this.confirm(), "main")
    const no = keyButton("Cancel", "Esc", () => this.selectNone())
    question.replaceChildren(element("p", "", asked.text), yes, no)
    no.focus()
  }

  draw() {
    const { data, parts } = this
    const number = (n) => n.toLocaleString("en")
    this.drawProgress()
    this.drawCaps()
    this.drawQuestion()
    parts.count.textContent = `page ${number(data.page)} of ${number(data.pages)}`
    const on = this.all ? data.all : this.selected.size
    const full = data.items.length > 0 && data.items.every((item) => this.selected.has(item.id))
    this.every.firstChild.textContent = full
      ? "Select none" : data.items.length === 1 ? "Select this one" : `Select these ${data.items.length}`
    this.whole.firstChild.textContent = `Select all ${number(data.all)}`
    this.whole.hidden = data.total <= data.items.length
    this.tally.textContent = `${number(on)} selected`
    this.buttons.forEach((button) => (button.disabled = !on))
    this.buttons[0].classList.toggle("main", this.default() === "accept")
    this.buttons[2].classList.toggle("main", this.default() === "remove")
    const suggested = new Set(data.items.map((item) => item.suggested))
    this.buttons[0].firstChild.textContent =
      suggested.size === 1 ? `Relabel as ${[...suggested][0]}` : "Accept suggestions"
    this.first.disabled = this.back.disabled = data.page <= 1
    this.end.disabled = this.next.disabled = data.page >= data.pages
    parts.end.textContent = data.empty
    parts.end.hidden = data.total > 0
    ;[...parts.cards.children].forEach((card, i) => {
      const item = data.items[i]
      const verdict = data.verdicts[i]
      const inAll = this.all && (data.all === data.total || !verdict)
      const on = inAll || this.selected.has(item.id)
      this.drawPicture(card, item.id)
      card.classList.toggle("on", on)
      card.setAttribute("aria-pressed", on)
      card.lastChild.textContent = verdict ? verdictWords(verdict) : ""
      card.lastChild.className = verdict ? `verdict ${verdict.verdict}` : "verdict none"
    })
  }

  // Replace the empty place of an image that has come.
  drawPicture(card, id) {
    const place = card.firstChild, picture = this.pictures.get(id)
    if (!picture || place.localName === "img") return
    if (!picture.image) return (place.textContent = "Image cannot be read")
    const image = element("img", picture.small ? "crisp" : "")
    image.src = picture.image
    image.alt = ""
    image.draggable = false
    place.replaceWith(image)
  }

  drawCards() {
    this.parts.cards.replaceChildren(
      ...this.data.items.map((item, place) => {
        const card = element("button", "card")
        card.type = "button"
        card.append(element("div", "unread"))
        const labels = element("div", "words", item.given ?? "no label")
        labels.append(element("span", "arrow", " → "), element("span", "suggested", item.suggested + (item.clear ? "" : "?")))
        if (item.note) card.append(labels, element("div", "words noted", item.note))
        else card.append(labels)
        card.append(element("span", "verdict"))
        const unclear = item.clear ? "" : " (unclear)"
        card.title = `id ${item.id}: ${item.given} → ${item.suggested}${unclear}\n${item.filepath}` + (item.note ? `\nnote: ${item.note}` : "")
        card.addEventListener("click", (event) => {
          releaseFocus(event)
          this.toggle(place, event)
        })
        return card
      }),
    )
  }
}

export default (component) => mount(ReviewMany, component)
