// The page of a session: samples that can be selected, page by page.

class SelectCards {
  constructor(root) {
    for (const name of ["pages", "count", "tally", "cards"]) this[name] = root.querySelector(`.${name}`)
    this.order = [] // selected ids, in the order of selecting
    this.back = keyButton("Back", "", () => this.turn(-1), "small")
    this.next = keyButton("Next", "", () => this.turn(1), "small")
    this.none = keyButton("Select none", "", () => this.select([]), "small")
    this.pages.append(this.back, this.next, this.none)
  }

  update(data, send) {
    this.send = send
    if (data.number !== this.number) {
      this.number = data.number
      this.page = data.page
      this.order = data.selected
    }
    const items = JSON.stringify(data.items)
    this.data = data
    if (items !== this.items) this.drawCards()
    this.items = items
    this.draw()
  }

  tell() {
    this.send("event", { number: this.number, page: this.page, selected: this.order })
  }

  turn(by) {
    this.page = Math.min(Math.max(this.page + by, 1), this.data.pages)
    this.tell()
  }

  select(ids) {
    this.order = ids
    this.last = null
    this.draw()
    this.tell()
  }

  toggle(place, event) {
    const ids = this.data.items.map((item) => item.id)
    const on = !this.order.includes(ids[place])
    const from = event.shiftKey && this.last != null ? this.last : place
    const range = ids.slice(Math.min(from, place), Math.max(from, place) + 1)
    const rest = this.order.filter((id) => !range.includes(id))
    this.select(on ? [...rest, ...range] : rest)
    this.last = place
  }

  draw() {
    const { page, pages, items } = this.data
    const selected = new Set(this.order)
    this.back.disabled = page <= 1
    this.next.disabled = page >= pages
    this.none.disabled = !selected.size
    this.count.textContent = `page ${page.toLocaleString("en")} of ${pages.toLocaleString("en")}`
    this.tally.textContent = `${selected.size.toLocaleString("en")} selected`
    ;[...this.cards.children].forEach((card, i) => card.classList.toggle("on", selected.has(items[i].id)))
  }

  drawCards() {
    this.last = null
    this.cards.replaceChildren(
      ...this.data.items.map((item, place) => {
        const card = element("button", "card")
        card.type = "button"
        card.dataset.id = item.id
        if (item.image) {
          const picture = element("img", item.small ? "crisp" : "")
          picture.src = item.image
          picture.alt = ""
          card.append(picture)
        } else card.append(element("div", "unread", "Image cannot be read"))
        const labels = element("div", "words", item.given ?? "no label")
        if (item.predicted !== null && item.predicted !== item.given)
          labels.append(element("span", "arrow", " → "), element("span", "suggested", item.predicted))
        card.append(labels, element("span", "verdict", item.note))
        card.title = `id ${item.id}\n${item.filepath}\n${item.note}`
        card.addEventListener("click", (event) => {
          releaseFocus(event)
          this.toggle(place, event)
        })
        return card
      }),
    )
  }
}

export default ({ data, parentElement, setStateValue }) => {
  const cards = (parentElement.cards ??= new SelectCards(parentElement))
  cards.update(data, setStateValue)
}
