// Streamlit adds an entry to the browser's history for each query parameter that the server sets. On the
// same page, replace the current entry instead, so that one press of Back leads to the page before.
if (!Object.hasOwn(history, "pushState")) {
  history.pushState = (state, title, url) => {
    const same = url && new URL(url, location).pathname === location.pathname
    History.prototype[same ? "replaceState" : "pushState"].call(history, state, title, url)
  }
}
