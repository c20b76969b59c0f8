// The texts' marks: what a token adds is said by the page's own tooltip, to a finger too. From the keyboard there is the table.

function startMarks() {
  for (const mark of document.querySelectorAll(".texts [title]")) {
    const said = `${quoted(mark.textContent)} ${mark.title}`;
    mark.removeAttribute("title");
    mark.addEventListener("pointermove", (event) => showTooltip(said, event));
    mark.addEventListener("pointerleave", hideTooltip);
  }
}
