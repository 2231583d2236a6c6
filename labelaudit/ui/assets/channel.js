// Shared by both review modes. One event at a time goes to the server, and key presses wait in a queue,
// so that fast presses are not lost. An event is handled when the server returns its number.

const RESEND_MS = 4000

class Channel {
  constructor() {
    this.token = crypto.randomUUID?.() ?? String(Math.random())
    this.number = 0
    this.waiting = null // the event that the server has not answered yet
    this.queue = [] // functions that return the next event, or null
    this.ready = () => true // whether the screen shows what the next event is about
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

  // Send an event at once, unless another one is waiting for its answer.
  begin(event) {
    if (this.waiting) return
    this.number += 1
    this.waiting = { token: this.token, number: this.number, session: this.session, ...event }
    this.post()
  }

  post() {
    this.send("event", this.waiting)
    this.timer = setTimeout(() => this.waiting && this.post(), RESEND_MS) // the server ignores repeats
  }

  close() {
    clearTimeout(this.timer)
  }
}

// Controls that use letters and arrows themselves: fields, lists, sliders, expanders.
const USES_KEYS = "input, textarea, select, summary, [contenteditable], [role=textbox], [role=combobox], " +
  "[role=listbox], [role=option], [role=menu], [role=menuitem], [role=slider], [role=spinbutton], [role=grid]"
// Controls that Enter and Space activate.
const PRESSABLE = "a[href], button, [role=button], [role=link], [role=tab], [role=radio], [role=checkbox], [role=switch]"
const ARROWS = "[role=tab], [role=radio]" // between which arrow keys move

// Return the pressed key, or null if it belongs to the focused element or to the browser.
function keyOf(event) {
  const focused = event.composedPath()[0]
  const within = (selector) => Boolean(focused.closest?.(selector))
  if (within(USES_KEYS) || focused.isContentEditable || event.altKey || event.metaKey) return null
  if ((event.key === "Enter" || event.key === " ") && within(PRESSABLE)) return null
  if (event.key.startsWith("Arrow") && within(ARROWS)) return null
  if (event.repeat && !event.key.startsWith("Arrow")) return null // a held key is one verdict
  if (document.querySelector("[role=dialog]")) return null
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
  if (event.ctrlKey) return { z: event.shiftKey ? "Redo" : "Undo", y: "Redo" }[key] ?? null
  return key
}

// Store the name for the next visit; ui/state.py reads it.
function rememberReviewer(name) {
  const value = encodeURIComponent(name)
  document.cookie = `labelaudit_reviewer=${value}; path=/; max-age=31536000; samesite=strict`
}

function element(tag, name, text) {
  const node = document.createElement(tag)
  if (name) node.className = name
  if (text !== undefined) node.textContent = text
  return node
}

// After a click with the mouse, keys are for the page again. A keyboard user stays on the element.
function releaseFocus(event) {
  if (event.detail > 0) event.currentTarget.blur()
}

// A button that shows its key.
function keyButton(title, key, press, name = "") {
  const button = element("button", `key ${name}`)
  button.type = "button"
  button.append(element("span", "", title))
  if (key) button.append(element("kbd", "", key))
  button.addEventListener("click", (event) => {
    releaseFocus(event)
    press()
  })
  // Held down, Enter would press the button again and again.
  button.addEventListener("keydown", (event) => event.repeat && event.key === "Enter" && event.preventDefault())
  return button
}

const percent = (share) => `${(share * 100).toFixed(0)}%`
const width = (share) => `${(share * 100).toFixed(2)}%` // for CSS

const WORDS = { keep: "kept", relabel: "relabelled", remove: "removed", unsure: "unsure" }

function verdictWords({ verdict, label }) {
  return verdict === "relabel" ? `→ ${label}` : WORDS[verdict]
}

// Base class of both review modes. A subclass has `actions()` (functions by action, and by key where
// it cannot be changed), `decide(verdict, label)` and `draw()`. The verdict "default" is the
// highlighted one.
class Part {
  constructor(root, names) {
    this.root = root
    this.channel = new Channel()
    this.updates = 0
    this.onKey = (event) => this.press(event)
    this.onReturn = () => document.hidden || !this.data || this.act("show") // another tab may have decided
    this.parts = Object.fromEntries(names.map((name) => [name, root.querySelector(`.${name}`)]))
    const dialog = root.querySelector(".keys")
    this.editor = new KeyEditor(dialog, this.mode, this.fixedKeys(), (changed) => this.changeKey(changed))
  }

  act(kind, more = {}) {
    this.channel.push(() => this.event(kind, more))
  }

  event(kind, more = {}) {
    return { kind, ...more }
  }

  // The reviewer's verdict that is shown, so that the server can refuse to overwrite another one.
  ownVerdict(verdicts) {
    const own = verdicts.find((verdict) => verdict?.reviewer === this.data.reviewer)
    return own ? [own.verdict, own.label] : null
  }

  press(event) {
    if (this.editor.isOpen) {
      if (!this.editor.press(event)) return
      event.preventDefault()
      event.stopPropagation()
      return
    }
    const key = keyOf(event)
    if (key === null || !this.data) return
    const action = this.functionOf(key)
    if (!action) return
    event.preventDefault()
    event.stopPropagation()
    action()
  }

  // Return what a key does; undefined if it does nothing.
  functionOf(key) {
    const { actions, classes, modes } = this.data.keys
    const named = Object.keys(classes).find((name) => classes[name] === key)
    if (named !== undefined) return () => this.decide("relabel", named)
    const name = Object.keys(actions).find((each) => actions[each] === key && modes[each].includes(this.mode))
    return { ...this.common(), ...this.actions() }[name ?? key]
  }

  // What both modes can do, by action, and by key where it cannot be changed.
  common() {
    const verdicts = ["accept", "keep", "remove", "unsure"].map((name) => [name, () => this.decide(name)])
    const undo = () => this.act("undo"), redo = () => this.act("redo")
    return {
      ...Object.fromEntries(verdicts), undo, redo, Undo: undo, Redo: redo,
      Enter: () => this.decide("default"), "?": () => this.showKeys(),
    }
  }

  // Called with all new data. Listens for keys again, in case `close` was called.
  receive(data, send) {
    this.updates += 1
    const asked = this.channel.waiting
    this.channel.update(data, send)
    if (["key", "reset_keys"].includes(asked?.kind) && !this.channel.waiting) {
      this.editor.answer(data.keys, data.classes, data.failed ? data.note : "")
      data.note = "" // said in the dialog
    }
    rememberReviewer(data.reviewer)
    // After a filter was changed, key presses are for this view again.
    const control = document.activeElement
    if (data.queue_number !== this.queueNumber && control?.matches("[role=combobox], [type=checkbox]")) control.blur()
    this.queueNumber = data.queue_number
    document.removeEventListener("keydown", this.onKey, true)
    document.addEventListener("keydown", this.onKey, true)
    document.addEventListener("visibilitychange", this.onReturn) // adding it again has no effect
  }

  close() {
    document.removeEventListener("keydown", this.onKey, true)
    document.removeEventListener("visibilitychange", this.onReturn)
    this.channel.close()
  }

  // Show all keys in a dialog, which also changes them. A subclass has `mode` and `fixedKeys()`.
  showKeys() {
    if (this.editor.isOpen) return this.editor.dialog.close()
    this.editor.open(this.data.keys, this.data.classes)
  }

  // Send a changed key, or null for the defaults.
  changeKey(changed) {
    this.act(changed ? "key" : "reset_keys", changed ?? {})
  }

  // Show the reviewer's keys on the buttons.
  drawCaps() {
    const { actions } = this.data.keys
    for (const cap of this.root.querySelectorAll("kbd[data-action]")) {
      const key = actions[cap.dataset.action]
      cap.textContent = capOf(key)
      cap.hidden = !key
    }
  }

  // Buttons for undo and redo.
  buildUndo(place) {
    this.undo = actionButton("Undo", "undo", () => this.act("undo"), "small")
    this.redo = actionButton("Redo", "redo", () => this.act("redo"), "small")
    place.append(this.undo, this.redo)
  }

  drawProgress() {
    const { data, parts } = this
    const { total, reviewed, wrong, recent, recent_wrong: recentWrong, checks } = data.progress
    const number = (n) => n.toLocaleString("en")
    const figures = [`${number(reviewed)} of ${number(total)} reviewed`, `${number(wrong)} wrong`]
    if (checks !== null) figures.splice(1, 0, `${number(checks)} random check${checks === 1 ? "" : "s"}`)
    if (recent > 1) figures.push(`${percent(recentWrong / recent)} of your last ${recent} were wrong`)
    parts.figures.textContent = parts.figures.title = data.note || figures.join(" · ")
    parts.figures.classList.toggle("noted", Boolean(data.note))
    this.drawEstimate(data.estimate)
    parts.bar.style.width = total ? width(reviewed / total) : "0"
    this.undo.disabled = !data.can_undo
    this.redo.disabled = !data.can_redo
  }

  // The number of wrong labels, what to do, and behind a click what the number is made of.
  drawEstimate({ text, advice, stop, how, warning }) {
    const { estimate } = this.parts
    const open = estimate.querySelector("details")?.open
    const lines = [element("span", "total", text)]
    if (how.length) {
      const details = element("details")
      details.open = Boolean(open)
      const summary = element("summary", "", "How is this counted?")
      summary.addEventListener("click", releaseFocus)
      details.append(summary, ...how.map((line) => element("p", "", line)))
      lines.push(details)
    }
    if (advice) lines.push(element("span", stop ? "advice stop" : "advice", advice))
    if (warning) lines.push(element("span", "advice warning", warning))
    estimate.replaceChildren(...lines)
  }
}

// Streamlit calls this with all new data.
function mount(kind, { data, parentElement, setTriggerValue }) {
  const part = (parentElement.part ??= new kind(parentElement))
  part.update(data, setTriggerValue)
  const mine = part.updates
  return () => part.updates === mine && part.close() // a newer update may have come first
}
