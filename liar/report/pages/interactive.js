// The page to explore a run on: what is chosen, and the drawing of its forecast.

const data = JSON.parse(document.getElementById('data').textContent);
const one = (selector) => document.querySelector(selector);
const repairs = data.repairs.map((repair) => repair.name);
const forecasters = {};

// -- drawing ---------------------------------------------------------------------------------------------------------------

const CHOICES = ['criterion', 'ratio', 'allocation', 'repair'];
const ofTheRun = () => Object.fromEntries(CHOICES.map((name) => [name, data.run[name]]));
const chosen = { ...ofTheRun(), site: 0 };
// Rounded as in liar/report/words/sentences.py, whose words stand on the same page.
const share = (value) => `${(100 * value).toFixed(0)}\u00a0%`;
const sizes = [[1e9, '\u00a0B', 1], [1e6, '\u00a0M', 1], [1e3, '\u00a0k', 1], [1, '', 0]];
const counts = (...numbers) => {
  const largest = Math.max(...numbers), [size, letter, digits] = sizes.find(([each]) => largest >= each);
  return numbers.map((number) => `${(number / size).toFixed(digits && largest < 10 * size ? 2 : digits)}${letter}`);
};
const element = (name, attributes = {}, ...children) => {
  const svg = ['svg', 'rect', 'polyline', 'line', 'text', 'title'].includes(name);
  const made = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

function colour(error) {
  const place = Math.min(1, Math.max(0, 1 + Math.log10(Math.max(error, 1e-9)) / 3)) * (data.colours.length - 1);
  const low = Math.floor(place), high = Math.min(low + 1, data.colours.length - 1);
  const parts = (text) => [1, 3, 5].map((start) => parseInt(text.slice(start, start + 2), 16));
  const [from, to] = [parts(data.colours[low]), parts(data.colours[high])];
  return `rgb(${from.map((value, part) => Math.round(value + (place - low) * (to[part] - value))).join(',')})`;
}

function removedWords(sites) {
  return Object.entries(data.kinds).map(([kind, words]) => {
    const places = data.sites.map((site, index) => index).filter((index) => data.sites[index].kind === kind);
    if (!places.length) return '';
    const units = (index) => data.sites[index].bundles * data.sites[index].group;
    const [all, kept] = [units, (index) => sites[index].kept].map((of) => places.reduce((sum, index) => sum + of(index), 0));
    return `${share(1 - kept / all)} of the ${words}`;
  }).filter(Boolean).join(' and ');
}

/** Units of a picture's width, so that its words are as large on a narrow screen. */
function widthOf(selector) {
  return one(selector).clientWidth < 520 ? 480 : 1000;
}

/** Mean error of the sites in words; a run of an older version lacks some repairs. */
function mean(sites, repair) {
  const known = sites.map((site) => site.errors[repair]).filter((error) => error !== undefined);
  if (!known.length) return 'not known';
  const found = known.reduce((sum, error) => sum + error, 0) / known.length;
  return found >= 0.001 ? found.toFixed(3) : found < 1e-9 ? '0' : `${Number(found.toPrecision(1))}`;
}

function drawVerdict(found, measured) {
  const fewer = share(1 - found.after / data.parameters);
  const repaired = chosen.repair === 'none' ? '' : `, repaired ${mean(found.sites, chosen.repair)}`;
  one('#kind').textContent = measured ? 'Measured' : 'Predicted';
  one('#kind').className = `pill ${measured ? 'measured' : 'predicted'}`;
  one('#verdict').textContent = `${removedWords(found.sites)} gone: mean error ${mean(found.sites, 'none')}`
    + `${repaired}; ${fewer} fewer parameters.`;
  one('#left').textContent = `${counts(data.parameters, found.after).join(' → ')} parameters; `
    + `${share(1 - found.blocks / data.blocks)} of the blocks and ${fewer} of the whole model removed.`;
  one('#back').style.visibility = measured ? 'hidden' : '';
}

function drawHeatmap(found) {
  const kinds = Object.keys(data.kinds).filter((kind) => data.sites.some((site) => site.kind === kind));
  const width = widthOf('#heatmap'), layers = Math.max(...data.sites.map((site) => site.layer)) + 1;
  const left = 84, wide = (width - left) / layers, high = 22;
  const strip = kinds.length * high + 30;
  const picture = element('svg', { viewBox: `0 0 ${width} ${strip * repairs.length + 18}`, 'aria-hidden': 'true' });
  repairs.forEach((repair, row) => {
    const top = row * strip;
    const title = `${repair}  mean ${mean(found.sites, repair)}`;
    picture.append(element('text', { x: left, y: top + 16, class: repair === chosen.repair ? 'chosen' : '' }, title));
    kinds.forEach((kind, line) => {
      const place = { x: left - 8, y: top + 24 + (line + 0.7) * high, 'text-anchor': 'end' };
      picture.append(element('text', place, data.kinds[kind]));
    });
    data.sites.forEach((site, index) => {
      const error = found.sites[index].errors[repair];
      const words = `${site.name}, ${repair}: ${error === undefined ? 'not known' : error.toFixed(4)}, `
        + `${found.sites[index].kept} of ${site.bundles * site.group} kept`;
      const cell = element('rect', {
        x: left + site.layer * wide, y: top + 24 + kinds.indexOf(site.kind) * high, width: wide - 1, height: high - 1,
        fill: error === undefined ? 'none' : colour(error), 'data-site': index,
        class: index === chosen.site ? 'chosen' : '',
      });
      cell.append(element('title', {}, words));
      picture.append(cell);
    });
  });
  for (let layer = 0; layer < layers; layer += layers > 12 ? 5 : 1) {
    const place = { x: left + (layer + 0.5) * wide, y: strip * repairs.length + 12, 'text-anchor': 'middle' };
    picture.append(element('text', place, layer));
  }
  one('#heatmap').replaceChildren(picture);
}

function drawSite(found) {
  const site = forecasters[chosen.criterion].sites[chosen.site], { kept, errors } = found.sites[chosen.site], units = site.bundles * site.group;
  const high = Math.max(...repairs.map((repair) => Math.max(...site.curve(repair, false)))), width = widthOf('#curves');
  const picture = element('svg', { viewBox: `0 0 ${width} 330`, 'aria-hidden': 'true' });
  const x = (removed) => 50 + ((width - 60) * removed) / site.bundles, y = (error) => 290 - (270 * error) / high;
  for (const part of [0, 0.5, 1]) {
    const anchor = part === 1 ? 'end' : 'middle';
    picture.append(element('line', { x1: 50, x2: width - 10, y1: y(part * high), y2: y(part * high), class: 'grid' }));
    picture.append(element('text', { x: 42, y: y(part * high) + 5, 'text-anchor': 'end' }, (part * high).toFixed(2)));
    picture.append(element('text', { x: x(part * site.bundles), y: 315, 'text-anchor': anchor }, `${100 * part}\u00a0%`));
  }
  for (const { name, colour: stroke } of data.repairs) {
    const points = Array.from(site.curve(name, false), (error, point) => `${x(site.removedAt[point])},${y(error)}`);
    picture.append(element('polyline', { points: points.join(' '), stroke, class: name === chosen.repair ? 'chosen' : '' }));
  }
  const at = x(site.bundles - kept / site.group);
  picture.append(element('line', { x1: at, x2: at, y1: 20, y2: 290, class: 'cut' }));
  one('#curves').replaceChildren(picture);
  one('#site-words').textContent = `${site.name}: ${kept.toLocaleString('en')} of ${units.toLocaleString('en')} `
    + `${data.kinds[site.kind]} kept.`;
  one('#site-errors').replaceChildren(...data.repairs.map(({ name, meaning, colour: ink }) => {
    const mark = element('span', { class: 'ink' });
    mark.style.background = ink;
    return element('tr', {}, element('th', { scope: 'row' }, mark, ` ${name}`),
      element('td', { class: 'number' }, errors[name]?.toFixed(4) ?? 'not known'), element('td', {}, meaning));
  }));
}

function drawTable(found) {
  one('#sites').replaceChildren(...data.sites.map(({ name, bundles, group }, index) => {
    const { kept, errors, aware } = found.sites[index], units = bundles * group;  // the norm-aware error is of the run alone
    const words = [`${kept.toLocaleString('en')} of ${units.toLocaleString('en')}`, ...repairs.map((repair) =>
      (errors[repair]?.toFixed(4) ?? '') + (aware?.[repair] === undefined ? '' : ` (${aware[repair].toFixed(4)})`))];
    const cells = words.map((each) => element('td', { class: 'number' }, each));
    return element('tr', {}, element('th', { scope: 'row' }, name), ...cells);
  }));
}

function draw() {
  const measured = CHOICES.every((name) => chosen[name] === data.run[name]);
  const found = measured ? data.run : forecasters[chosen.criterion](chosen);
  one('#problem').textContent = found.problem ?? '';
  for (const input of document.querySelectorAll('.controls [id], #site')) input.value = chosen[input.id.replace('-number', '')];
  if (found.problem) return;
  drawVerdict(found, measured);
  drawHeatmap(found);
  drawSite(found);
  if (one('#table').open) drawTable(found);
}

async function choose(changes) {
  const { criterion } = changes;
  if (criterion) forecasters[criterion] ??= await forecaster(data, criterion);
  Object.assign(chosen, changes);
  draw();
}

for (const name of ['#ratio', '#ratio-number']) {
  one(name).addEventListener('input', ({ target }) => {
    const ratio = Number(target.value);
    if (target.value !== '' && ratio >= 0 && ratio <= Number(target.max)) choose({ ratio });
  });
}
for (const name of ['criterion', 'allocation', 'repair']) {
  one(`#${name}`)?.addEventListener('input', ({ target }) => choose({ [name]: target.value }));
}
one('#site').addEventListener('input', ({ target }) => choose({ site: Number(target.value) }));
one('#heatmap').addEventListener('click', ({ target }) => target.dataset.site && choose({ site: Number(target.dataset.site) }));
one('#table').addEventListener('toggle', () => forecasters[chosen.criterion] && draw());
addEventListener('resize', () => forecasters[chosen.criterion] && draw());
one('#back').addEventListener('click', () => choose(ofTheRun()));
choose(ofTheRun()).then(
  () => { one('#live').hidden = one('#lens').hidden = false; },
  () => { one('#unreadable').hidden = false; },
);
