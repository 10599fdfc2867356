"""Query string of the page's address: it holds the whole spec and the view, so that a link reopens the same page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast
from urllib.parse import parse_qsl, urlencode

import gradio as gr
from gradio.blocks import Block

from components.explorer import Explorer
from components.lesson_beside import LessonBeside, complaint_about
from components.rail.recipe import default_of, measured_on_its_task, of_layout
from components.shared import status
from components.shared.panel import QUEUED, UNQUEUED, Updates, states_first
from components.simple_or_full import mark
from liar.errors import InvalidSpecError, LiarError
from liar.report.view import Layout, View
from liar.results import RunResult
from liar.spec import VERSION, PruneSpec
from liar.store import RunStore

# Gradio sets the components of one answer in one task, so the marker of layout and tab is set before a later task writes.
# An answer that names another layout or tab than the marker is of an earlier event, or the marker's own is still on its way.
_WRITE = """
const MODEL = 'DEFAULT_MODEL';
const place = (query) => {
  const layout = query.get('layout') ?? 'simple';
  return { model: query.get('model') ?? MODEL, layout, tab: (layout === 'full' && query.get('tab')) || 'layers' };
};
let written = location.search, returningTo = null, isVisitors = false;  // else it is the layout of the last visit
for (const act of ['pointerdown', 'keydown']) document.addEventListener(act, () => (isVisitors = true), { capture: true });
const write = (isNew) => {
  const now = new URLSearchParams(location.search), next = new URLSearchParams(props.value);
  for (const [name, value] of now) if (name.startsWith('__')) next.append(name, value);  // Gradio's own
  history[isNew ? 'pushState' : 'replaceState'](null, '', '?' + next);
  written = location.search;
  window.dispatchEvent(new Event('liar:address'));  // the browser has no event of its own for this
};
const follow = () => {
  const from = place(new URLSearchParams(location.search)), to = place(new URLSearchParams(props.value));
  const { layout, tab } = document.body.dataset;
  if (!props.value || returningTo !== null || to.layout !== layout || to.tab !== tab) return;
  write(isVisitors && Object.keys(to).some((name) => to[name] !== from[name]));
};
watch('value', () => setTimeout(follow));
window.addEventListener('liar:marked', () => element.isConnected && setTimeout(follow));  // the marker may be the later one
const goBack = () => {
  isVisitors = false;  // a late answer to what was done before is no entry
  trigger('select', { query: returningTo = location.search });
};
window.addEventListener('popstate', () => {
  if (element.isConnected && returningTo === null && location.search !== written) goBack();
});
window.addEventListener('liar:returned', () => setTimeout(() => {
  if (location.search !== returningTo) return goBack();  // the visitor went on meanwhile
  returningTo = null;
  write(false);
}));
"""
RETURNED = "() => window.dispatchEvent(new Event('liar:returned'))"
"""Script that ends a return to an entry of the history, which the address reports as a ``select``: writes wait until then."""


def address_bar() -> gr.HTML:
    """Component without a body that writes its value, a query string, into the page's address.

    Another model, layout or tab is an entry of the browser's history, any other change replaces the entry. After writing it
    dispatches the window event ``liar:address``; links to the current page are built from ``location`` only.
    """
    script = _WRITE.replace("DEFAULT_MODEL", PruneSpec().model)
    return gr.HTML(value="", html_template="", js_on_load=script, elem_id="address", container=False)


def read_address(pairs: Iterable[tuple[str, str]]) -> tuple[PruneSpec | None, View, str | None]:
    """Parse a link into its spec, its view and a sentence about the part that could not be followed (else None).

    What a link without a version leaves out is the default of its model, see :data:`liar.spec.LINKED`.
    The spec is None if the link names no valid choice of a recipe, or if its choices contradict each other. Choices are
    checked one by one, so an invalid one leaves the others in force.
    """
    pairs = [(name, value) for name, value in pairs if not name.startswith("__")]
    view, complaints = View.from_pairs(pairs)
    good: list[tuple[str, str]] = []
    bad: list[tuple[str, str]] = []
    for pair in pairs:
        if pair[0] not in View.model_fields:
            try:
                PruneSpec.from_query(urlencode([pair]))
                good.append(pair)
            except InvalidSpecError:
                bad.append(pair)
    try:
        PruneSpec.from_query(urlencode(bad))
    except InvalidSpecError as error:  # one sentence for each choice
        complaints.append(str(error))
    complaint = f"Part of the link was left out. {' '.join(complaints)}" if complaints else None
    if good and VERSION not in dict(good):
        usual = default_of(dict(good).get("model", PruneSpec().model))
        good += [(name, getattr(usual, name)) for name in ("targets", "allocation") if name not in dict(good)]
    try:
        return (PruneSpec.from_query(urlencode(good)) if good else None), view, complaint
    except InvalidSpecError as error:  # each choice is valid, their combination is not
        return None, view, f"The link was not followed. {error}"


def first_run(store: RunStore, spec: PruneSpec) -> RunResult | None:
    """The stored run of ``spec``, else any stored run, else None."""
    return store.find(spec) or next(iter(store.runs()), None)


class Opening:
    """Fill recipe, view and panels from the query string of the address."""

    def __init__(
        self, explorer: Explorer, tabs: gr.Tabs, layout: gr.Radio, marker: gr.HTML, beside: LessonBeside
    ) -> None:
        self.explorer, self.tabs, self.layout, self.marker, self.beside = explorer, tabs, layout, marker, beside
        own: list[Block] = [self.explorer.bus.view, self.tabs, self.layout, self.marker, self.beside.frame]
        self.outputs: list[Block] = states_first([*own, *self.explorer.outputs])

    def wire(self) -> None:
        bus = self.explorer.bus
        returned = self.explorer.address.select(self.back, [bus.spec, bus.shown], self.outputs, **QUEUED)
        returned.then(None, None, None, js=RETURNED, **UNQUEUED)

    def open(self, remembered: str | None, request: gr.Request) -> Updates:
        # multi_items, because a choice may be named several times and each value counts.
        return self.follow(request.query_params.multi_items(), remembered)

    def back(self, event: gr.EventData, spec: PruneSpec, shown: str) -> Updates:
        """Updates for an entry of the browser's history, on a page that has recipe ``spec`` and shows run ``shown``."""
        return self.follow(parse_qsl(str(getattr(event, "query", "")).lstrip("?")), now=(spec, shown))

    def follow(
        self, pairs: list[tuple[str, str]], remembered: str | None = None, now: tuple[PruneSpec, str] | None = None
    ) -> Updates:
        """Updates for a link. The run that is shown stays, unless the link names a run or another model.

        A bare address sets nothing but the layout that the browser ``remembered``; if the page was built without a run, or is
        ``now`` at another recipe, it also draws what the page was built with.
        """
        spec, view, complaint = read_address(pairs)
        complaints = [words for words in (complaint, complaint_about(view)) if words]
        opened = self.explorer.bus.spec.value
        if remembered in ("simple", "full") and "layout" not in dict(pairs):
            view = view.model_copy(update={"layout": cast(Layout, remembered)})
        updates: Updates = {self.marker: gr.skip()}
        if now or view != View():  # else the visitor may have chosen another one before this answer
            updates = {
                self.explorer.bus.view: view,
                self.tabs: gr.update(selected=mark(view)["tab"]),
                self.layout: view.layout,
                self.marker: mark(view),
                **self.beside.show(view),
            }
        if spec is not None:
            try:
                self.explorer.studio.profile.check(spec)
            except LiarError as error:
                spec = None
                complaints.append(str(error))
        if spec is not None or now or view != View(layout=view.layout) or not self.explorer.bus.shown.value:
            spec = opened if spec is None else measured_on_its_task(spec)
            before, shown = now or (opened, str(self.explorer.bus.shown.value))
            named_run = self.explorer.studio.store.find(spec)
            updates |= self.explorer.show(spec, view, before, shown if named_run is None else "")
        if spec is not None or view.layout == "full":
            criterion = (spec or opened).criterion
            updates[self.explorer.recipe.criterion] = gr.update(value=criterion, **of_layout(view.layout, criterion))
        if complaints:
            updates[self.explorer.line] = status.problem(" ".join(complaints))
        return updates
