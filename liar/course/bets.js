// Exported bets of many students, and a histogram of each bet. Files are read in this browser; nothing is sent or kept.

const BINS = 10;
const LARGEST = 1e6; // bytes; an export has a few thousand
/** Bets by lesson of each file; a file that is chosen once more is counted once. */
const read = new Map();
const inOrder = Object.entries(data.lessons).sort(([, one], [, other]) => one.number - other.number);

/** The bets by lesson in the text of an export; throws the end of a sentence on the file if it is none. */
function betsOf(text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw new Error('is no JSON');
  }
  if (found?.course !== COURSE || typeof (found.lessons ?? 0) !== 'object') throw new Error('is no file of bets of this course');
  const bets = inOrder.flatMap(([name, bet]) => {
    const value = found.lessons[name]?.bet;
    if (value === undefined) return [];
    if (!isGuess(value, bet)) throw new Error(`has a bet that lesson ${bet.number} does not allow`);
    return [[name, value]];
  });
  if (!bets.length) throw new Error('has no bets');
  return Object.fromEntries(bets);
}

async function readFiles(files) {
  const problems = [];
  for (const file of files) {
    try {
      if (file.size > LARGEST) throw new Error('is larger than any file of bets');
      const text = await file.text().catch(() => { throw new Error('cannot be read; is it a folder?'); });
      read.set(`${file.name}/${file.size}/${file.lastModified}`, betsOf(text));
    } catch ({ message }) {
      problems.push(`“${file.name}” ${message}.`);
    }
  }
  one('#problems').replaceChildren(...problems.map((problem) => made('li', {}, problem)));
  one('#note').textContent = `${read.size} ${read.size === 1 ? 'file is' : 'files are'} counted.`;
  one('#histograms').replaceChildren(...inOrder.flatMap(([name, bet]) => {
    const values = [...read.values()].flatMap((bets) => (name in bets ? [bets[name]] : []));
    return values.length ? [histogram(bet, values)] : [];
  }));
}

const SVG = 'http://www.w3.org/2000/svg';

/** An element, of an SVG if `inside` it, with attributes and content. */
function made(tag, attributes, content = '', inside = false) {
  const element = inside ? document.createElementNS(SVG, tag) : document.createElement(tag);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  element.append(...[content].flat());
  return element;
}

/** The figure of one bet: a column for each answer, or for each tenth of the range; of a curve its middle is counted. */
function histogram(bet, values) {
  const figure = made('figure', { class: 'picture' }), { unit = '', digits = 2 } = bet;
  const counted = bet.kind === 'curve' ? values.map((value) => value[5]) : values;
  const answer = bet.kind === 'curve' ? bet.answer[5] : bet.answer;
  const what = `${values.length === 1 ? 'bet' : 'bets'}${bet.kind === 'curve' ? ' on the error with half removed' : ''}`;
  const answered = typeof answer === 'number' ? words(answer, unit, digits) : answer;
  figure.append(
    made('figcaption', {}, `${bet.number}. ${bet.title}`),
    made('p', { class: 'quiet' }, `${values.length} ${what}. Answer: ${answered}.`),
    bet.kind === 'choice' ? choices(bet, counted) : columns({ high: 1, low: 0, ...bet, answer }, counted),
  );
  return figure;
}

function choices({ options, answer }, values) {
  const rows = options.map((option) => {
    const count = values.filter((value) => value === option).length;
    const bar = made('rect', { width: (100 * count) / values.length, height: 8 }, '', true);
    return made('tr', { class: option === answer ? 'right' : '' }, [
      made('th', { scope: 'row' }, option === answer ? `✓ ${option}` : option),
      made('td', { class: 'number' }, String(count)),
      made('td', { class: 'bar' }, made('svg', { viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-hidden': true }, bar, true)),
    ]);
  });
  return made('table', { class: 'bars' }, made('tbody', {}, rows));
}

function columns({ low, high, answer, unit = '' }, values) {
  const wide = 460, deep = 150, place = (value) => 10 + (wide * (value - low)) / (high - low);
  const counts = Array(BINS).fill(0);
  for (const value of values) counts[Math.min(BINS - 1, Math.floor((BINS * (value - low)) / (high - low)))] += 1;
  const edge = (bin) => Number((low + ((high - low) * bin) / BINS).toFixed(2));
  const said = counts.flatMap((count, bin) => (count ? [`${edge(bin)} to ${edge(bin + 1)}: ${count}`] : []));
  const parts = counts.flatMap((count, bin) => {
    const x = place(edge(bin)), tall = (deep * count) / Math.max(...counts), y = 30 + deep - tall;
    const label = made('text', { x: x + wide / BINS / 2, y: y - 5, class: 'middle' }, String(count), true);
    return count ? [made('rect', { x: x + 1, y, width: wide / BINS - 2, height: tall }, '', true), label] : [];
  });
  const ends = [[low, ''], [(low + high) / 2, 'middle'], [high, 'end']].map(([value, anchor]) => (
    made('text', { x: place(value), y: deep + 50, class: anchor }, words(value, unit, Number.isInteger(value) ? 0 : 1), true)));
  const ground = made('line', { class: 'grid', x1: 10, x2: 10 + wide, y1: 30 + deep, y2: 30 + deep }, '', true);
  const x = place(answer), line = made('line', { class: 'answer', x1: x, x2: x, y1: 8, y2: 30 + deep }, '', true);
  const label = `Bets by value${unit && `, ${unit}`}: ${said.join('; ')}`;
  return made('svg', { viewBox: '0 0 480 205', role: 'img', 'aria-label': label }, [ground, ...parts, ...ends, line], true);
}

one('#files').addEventListener('change', ({ target }) => readFiles([...target.files]));
addEventListener('dragover', (event) => event.preventDefault());
addEventListener('drop', (event) => {
  event.preventDefault();
  readFiles([...event.dataTransfer.files]);
});
