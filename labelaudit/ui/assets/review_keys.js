// The keys of a reviewer: key caps that follow them, and the dialog that lists and changes them.

const UNCHANGED = ["Shift", "Control", "Alt", "Meta", "AltGraph", "Tab", "CapsLock"] // do not close the dialog
const NO_KEY = ["Backspace", "Delete"]
const capOf = (key) => key.toUpperCase()

// A button whose cap shows the key of an action. `drawCaps` fills it in.
function actionButton(title, action, press, name = "") {
  const button = keyButton(title, " ", press, name)
  button.querySelector("kbd").dataset.action = action
  return button
}

class KeyEditor {
  // change: sends what was changed. fixed: [keys, meaning] of the keys that cannot be changed.
  constructor(dialog, mode, fixed, change) {
    this.dialog = dialog
    this.mode = mode
    this.fixed = fixed
    this.change = change
    this.asked = null // the action or class that gets the next pressed key
    this.message = ""
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close())
    dialog.addEventListener("close", () => this.stop())
  }

  get isOpen() {
    return this.dialog.open
  }

  open(keys, classes) {
    this.message = ""
    this.draw(keys, classes)
    this.dialog.showModal()
    this.dialog.focus()
  }

  stop() {
    this.asked = null
  }

  // A key was pressed while the dialog is open. Returns whether it was used.
  press(event) {
    if (UNCHANGED.includes(event.key) || event.ctrlKey || event.altKey || event.metaKey) return false
    if (this.asked) {
      this.take(event)
      return true
    }
    const onControl = event.composedPath()[0] !== this.dialog && event.composedPath()[0].matches?.("button, select")
    if (onControl && event.key !== "Escape" && event.key !== "?") return false
    this.dialog.close()
    return true
  }

  take({ key }) {
    const { asked } = this
    this.stop()
    if (key === "Escape") return this.redraw()
    this.change({ ...asked, key: NO_KEY.includes(key) ? "" : key })
  }

  ask(what) {
    this.asked = what
    this.message = ""
    this.redraw()
  }

  // The server has answered: message says why a key was refused, else it is "".
  answer(keys, classes, message) {
    this.message = message
    if (this.isOpen) this.draw(keys, classes)
  }

  redraw() {
    this.draw(this.keys, this.classes)
  }

  draw(keys, classes) {
    this.keys = keys
    this.classes = classes
    const focused = this.dialog.getRootNode().activeElement?.dataset?.row
    const mine = Object.keys(keys.actions).filter((name) => keys.modes[name].includes(this.mode))
    const actions = mine.map((name) => this.row({ action: name }, keys.actions[name], keys.meanings[name]))
    const fixed = this.fixed.map(([cap, meaning]) => keyRow(element("kbd", "", cap), meaning))
    const withKey = classes.filter((name) => keys.classes[name] || this.asked?.class === name)
    const named = withKey.map((name) => this.row({ class: name }, keys.classes[name] ?? "", name))
    const left = element("section"), right = element("section"), foot = element("div", "key-foot")
    left.append(element("h3", "", "Actions"), ...actions)
    right.append(element("h3", "", "Relabel as"), ...named, ...this.others(withKey), element("h3", "", "Always"), ...fixed)
    const both = element("div", "key-columns")
    both.append(left, right)
    const said = element("p", "key-said", this.message || keys.problem || this.hint())
    said.setAttribute("role", "status")
    said.classList.toggle("wrong", Boolean(this.message || keys.problem))
    foot.append(
      keyButton("Reset to defaults", "", () => this.change(null), "small"),
      keyButton("Close", "Esc", () => this.dialog.close(), "small"),
    )
    this.dialog.replaceChildren(element("h2", "", "Keys"), said, both, foot)
    const again = focused && this.dialog.querySelector(`[data-row="${CSS.escape(focused)}"]`)
    if (again) again.focus()
    else this.dialog.focus()
  }

  hint() {
    if (!this.asked) return "Click a key to change it. Your keys are stored under your name."
    const name = this.asked.class ?? this.keys.meanings[this.asked.action]
    return `Press the new key for "${name}". Backspace: no key. Esc: leave it.`
  }

  row(what, key, meaning) {
    const isAsked = this.asked && this.asked.action === what.action && this.asked.class === what.class
    const cap = element("button", `cap${isAsked ? " asked" : ""}`, isAsked ? "press a key" : key ? capOf(key) : "none")
    cap.type = "button"
    cap.dataset.row = JSON.stringify(what)
    cap.setAttribute("aria-label", `Change the key for ${meaning}: ${key ? capOf(key) : "none"}`)
    cap.addEventListener("click", () => this.ask(what))
    return keyRow(cap, meaning)
  }

  // A list of the classes without a key, to give one of them a key.
  others(withKey) {
    const rest = this.classes.filter((name) => !withKey.includes(name))
    if (!rest.length) return []
    const list = element("select", "key-more")
    list.setAttribute("aria-label", "Class that gets a key")
    list.append(...["Another class …", ...rest].map((name) => element("option", "", name)))
    list.addEventListener("change", () => list.selectedIndex > 0 && this.ask({ class: rest[list.selectedIndex - 1] }))
    return [list]
  }
}

function keyRow(cap, meaning) {
  const row = element("div", "key-row")
  row.append(cap, element("span", "", meaning))
  return row
}
