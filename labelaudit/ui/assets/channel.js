// What the desk and the board share: one event at a time goes to the server; presses wait in a queue
// here, so that none is lost however fast they come. An event counts when its number comes back.

const RESEND_MS = 4000

class Channel {
  constructor() {
    this.token = crypto.randomUUID?.() ?? String(Math.random())
    this.number = 0
    this.waiting = null // the event that the server has not answered yet
    this.queue = [] // functions that give an event, or null for none, when their turn comes
    this.ready = () => true // whether what is on the screen is what an event would be about
  }

  update({ answered, session }, send) {
    this.send = send
    this.session = session
    if (this.waiting && answered?.token === this.token && answered.number >= this.waiting.number) {
      this.waiting = null
      clearTimeout(this.timer)
    }
  }

  get idle() {
    return !this.waiting && !this.queue.length
  }

  push(makeEvent) {
    this.queue.push(makeEvent)
    this.pump()
  }

  pump() {
    while (!this.waiting && this.queue.length && this.ready()) {
      const event = this.queue.shift()()
      if (event) this.begin(event)
    }
  }

  // An event that does not wait for its turn.
  begin(event) {
    if (this.waiting) return
    this.number += 1
    this.waiting = { token: this.token, number: this.number, session: this.session, ...event }
    this.post()
  }

  post() {
    this.send("event", this.waiting)
    this.timer = setTimeout(() => this.waiting && this.post(), RESEND_MS) // the server knows repeats
  }

  close() {
    clearTimeout(this.timer)
  }
}

// The key of a press that is meant for us: not typed into a field, not a shortcut of the browser's.
function keyOf(event) {
  const target = event.composedPath()[0]
  const typing = target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)
  if (typing || event.altKey || event.metaKey) return null
  if (event.repeat && !event.key.startsWith("Arrow")) return null // a key held is one verdict
  if (document.querySelector("[role=dialog]")) return null
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
  if (event.ctrlKey) return { z: event.shiftKey ? "y" : "z", y: "y" }[key] ?? null
  return key
}

// So that the next visit knows the name; ui/state.py reads it.
function rememberReviewer(name) {
  const kept = encodeURIComponent(name)
  document.cookie = `labelaudit_reviewer=${kept}; path=/; max-age=31536000; samesite=strict`
}

function element(tag, name, text) {
  const made = document.createElement(tag)
  if (name) made.className = name
  if (text !== undefined) made.textContent = text
  return made
}

// A button that does what a key does, with the key on it.
function keyButton(words, key, press, name = "") {
  const made = element("button", `key ${name}`)
  made.type = "button"
  made.append(element("span", "", words))
  if (key) made.append(element("kbd", "", key))
  made.addEventListener("click", (event) => {
    event.currentTarget.blur() // else the space bar would press it again
    press()
  })
  return made
}

const percent = (share) => `${(share * 100).toFixed(0)} %`
const width = (share) => `${(share * 100).toFixed(2)}%` // as CSS takes it

// The first ten classes have a number key each: their own where they are digits, else by their place.
const NUMBER_KEYS = "1234567890"

function numberKeys(classes) {
  const first = classes.slice(0, NUMBER_KEYS.length)
  const digits = first.every((name) => name.length === 1 && NUMBER_KEYS.includes(name))
  return new Map(first.map((name, i) => [digits ? name : NUMBER_KEYS[i], name]))
}
const WORDS = { keep: "kept", relabel: "relabelled", remove: "removed", unsure: "unsure" }

function verdictWords({ verdict, label }) {
  return verdict === "relabel" ? `→ ${label}` : WORDS[verdict]
}

// A part of the page that gives verdicts by key. A subclass has `actions()` (what each key does),
// `decide(verdict, label)` and `draw()`.
class Part {
  constructor(root, names) {
    this.root = root
    this.channel = new Channel()
    this.updates = 0
    this.onKey = (event) => this.press(event)
    this.parts = Object.fromEntries(names.map((name) => [name, root.querySelector(`.${name}`)]))
  }

  act(kind, more = {}) {
    this.channel.push(() => this.event(kind, more))
  }

  event(kind, more = {}) {
    return { kind, ...more }
  }

  press(event) {
    const key = keyOf(event)
    if (key === null || !this.data) return
    const named = numberKeys(this.data.classes).get(key)
    const verdicts = { a: "accept", Enter: "accept", k: "keep", x: "remove", u: "unsure" }
    let action = this.actions()[key]
    if (verdicts[key]) action = () => this.decide(verdicts[key])
    if (key === "z") action = () => this.act("undo")
    if (key === "y") action = () => this.act("redo")
    if (named !== undefined) action = () => this.decide("relabel", named)
    if (!action) return
    event.preventDefault()
    event.stopPropagation()
    action()
  }

  // Every new data: first what was answered, then the keys again, in case they were let go.
  receive(data, send) {
    this.updates += 1
    this.channel.update(data, send)
    rememberReviewer(data.reviewer)
    // A filter was chosen: the keys are ours again, not that box's.
    if (data.sitting !== this.sitting && document.activeElement?.role === "combobox") document.activeElement.blur()
    this.sitting = data.sitting
    document.removeEventListener("keydown", this.onKey, true)
    document.addEventListener("keydown", this.onKey, true)
  }

  close() {
    document.removeEventListener("keydown", this.onKey, true)
    this.channel.close()
  }

  // Undo and redo, and how far the reviewer is.
  buildUndo(place) {
    this.undo = keyButton("Undo", "Z", () => this.act("undo"), "small")
    this.redo = keyButton("Redo", "Y", () => this.act("redo"), "small")
    place.append(this.undo, this.redo)
  }

  drawProgress() {
    const { data, parts } = this
    const { total, reviewed, wrong, recent, recent_wrong: recentWrong } = data.progress
    const number = (n) => n.toLocaleString("en")
    const figures = [`${number(reviewed)} of ${number(total)} reviewed`, `${number(wrong)} wrong`]
    if (data.checks) figures[0] += ` (${number(data.checks)} are random checks)`
    if (recent) figures.push(`${percent(recentWrong / recent)} of your last ${recent} were wrong`)
    parts.figures.textContent = data.note || figures.join(" · ") // a note, until the next answer
    parts.figures.classList.toggle("noted", Boolean(data.note))
    const { text, advice, stop } = data.estimate
    parts.estimate.replaceChildren(element("span", "", text), ...(advice ? [element("span", stop ? "stop" : "", advice)] : []))
    parts.bar.style.width = total ? width(reviewed / total) : "0"
    this.undo.disabled = !data.can_undo
    this.redo.disabled = !data.can_redo
  }
}

// What Streamlit calls with every new data.
function mount(kind, { data, parentElement, setTriggerValue }) {
  const part = (parentElement.part ??= new kind(parentElement))
  part.update(data, setTriggerValue)
  const mine = part.updates
  return () => part.updates === mine && part.close() // a newer update may have come before this
}
