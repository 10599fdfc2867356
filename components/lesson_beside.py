"""A lesson of the course beside the page, which lights the controls and pictures that the lesson speaks of."""

from __future__ import annotations

import gradio as gr

from components.shared.panel import QUEUED, Updates
from components.shared.studio import Bus
from components.simple_or_full import selector
from liar.course.lesson import lesson_named, lessons
from liar.report.view import NAMED, View

# The frame stands outside of the component, since Gradio draws a component anew when its value changes. Messages are exchanged
# with pages of the same origin only, and carry the names of parts, never a selector.
_BESIDE = """
const lit = document.head.appendChild(document.createElement('style'));
const calm = matchMedia('(prefers-reduced-motion: reduce)');
const NOT_SHOWN = 'The page does not show it now: choose Full, or the tab Layers.';
let aside = null;
const frame = () => aside?.querySelector('iframe');
const sendQuery = () => frame()?.contentWindow?.postMessage({ query: location.search }, location.origin);
const light = (names, show) => {
  const found = names.map((name) => props.value.parts[name]).filter(Boolean);
  const moves = calm.matches ? '' : 'animation: lights-up 500ms;';
  const look = `outline: 3px solid var(--lit); outline-offset: 3px; border-radius: 8px; ${moves}`;
  lit.textContent = found.length ? `${found.join(', ')} { ${look} }` : '';
  const parts = found.flatMap((part) => [...document.querySelectorAll(part)]);
  parts.map((part) => part.closest('.group')).find(Boolean)?.dispatchEvent(new Event('liar:unfold'));
  const shown = parts.find((part) => part.checkVisibility());
  if (show) aside.querySelector('[role=status]').textContent = shown ? '' : NOT_SHOWN;
  const behavior = calm.matches ? 'auto' : 'smooth';
  const block = shown?.offsetHeight < innerHeight / 2 ? 'center' : 'start';
  if (show) shown?.scrollIntoView({ block, behavior });
};
const receive = ({ source, origin, data }) => {
  if (!aside || source !== frame().contentWindow || origin !== location.origin) return;
  if (data?.asks === 'query') sendQuery();
  if (Array.isArray(data?.light)) light(data.light, data.show === true);
};
const open = () => {
  const { file, title } = props.value;
  document.body.classList.toggle('beside', Boolean(file));
  requestAnimationFrame(() => window.dispatchEvent(new Event('resize')));  // figures take their new width
  aside?.remove();
  aside = null;
  lit.textContent = '';
  if (!file) return;
  aside = document.createElement('aside');
  aside.id = 'beside';
  aside.setAttribute('aria-label', title);
  aside.innerHTML = `<p><strong></strong> <a target="_blank">On its own</a> <button type="button">Close</button></p>
    <p role="status"></p><iframe></iframe>`;
  aside.querySelector('strong').textContent = title;
  aside.querySelector('a').href = `course/${file}`;
  Object.assign(frame(), { src: `course/${file}?beside`, title });
  aside.querySelector('button').addEventListener('click', () => trigger('select', {}));
  document.querySelector('.gradio-container').append(aside);
};
window.addEventListener('message', receive);
window.addEventListener('liar:address', sendQuery);
open();
watch('value', open);
"""

_PARTS = {name: selector(name) for name in NAMED}


class LessonBeside:
    """Frame of the lesson that the view names, beside the page or, on a narrow screen, below it."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.frame = gr.HTML(
            value=_shown(bus.view.value), html_template="", js_on_load=_BESIDE, elem_id="lesson-frame", container=False
        )

    def wire(self) -> None:
        self.frame.select(self.close, self.bus.view, [self.bus.view, self.frame], **QUEUED)

    def show(self, view: View) -> Updates:
        return {self.frame: _shown(view)}

    def close(self, view: View) -> Updates:
        view = view.changed(beside="")
        return {self.bus.view: view, **self.show(view)}


def complaint_about(view: View) -> str | None:
    """A sentence if ``view`` names no lesson of the course."""
    if not view.beside or lesson_named(view.beside):
        return None
    names = ", ".join(lesson.name for lesson in lessons())
    return f"There is no lesson {view.beside!r}; choose one of {names}."


def _shown(view: View) -> dict[str, object]:
    """Value of the frame; ``file`` is empty if there is no lesson to show."""
    lesson = lesson_named(view.beside)
    file, title = (lesson.file, f"Lesson {lesson.number}") if lesson else ("", "")
    return {"file": file, "title": title, "parts": _PARTS}
