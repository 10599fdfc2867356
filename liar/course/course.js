// A lesson: a bet that stays once it is made, its answer, a task on forecasts, and a question back. Only this browser keeps it.

const data = JSON.parse(document.getElementById('data').textContent);
const one = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];
const COURSE = 'liar-course-1';
/** An item for each lesson, so that tabs of two lessons never overwrite each other. */
const keyOf = (name) => `${COURSE}/${name}`;

// -- what the browser keeps --------------------------------------------------------------------------------------------------

/** What `use` returns of the storage; a note says so if this browser keeps nothing. */
function inStorage(use) {
  try {
    return use(localStorage);
  } catch {
    one('#note').textContent = 'This browser keeps nothing: your bets last until the page is closed.';
    return null;
  }
}

/** What is kept of a lesson by any tab: its `bet`, its answer `back`, whether its task is `solved`; nothing if damaged. */
function recall(name) {
  try {
    return JSON.parse(inStorage((kept) => kept.getItem(keyOf(name)))) ?? {};
  } catch {
    return {};
  }
}

const keep = (name, changes) => inStorage((kept) => kept.setItem(keyOf(name), JSON.stringify({ ...recall(name), ...changes })));
const forget = (name) => inStorage((kept) => kept.removeItem(keyOf(name)));

/**
 * Call `show` at the first frame, and whenever what is kept may have changed: in another tab, or while this page was left.
 *
 * Not before that frame: a script that asks for the storage (to listen for its changes is enough) while Chromium still puts
 * the page in its place may get one that keeps nothing, without an error: 1 of 20 loads from disk in Chromium 156.
 */
function follow(show) {
  requestAnimationFrame(() => {
    addEventListener('storage', show);
    addEventListener('pageshow', show);
    show();
  });
}

// -- the bet -----------------------------------------------------------------------------------------------------------------

const words = (value, unit, digits) => `${value.toFixed(digits)}\u00a0${unit}`.trim();

/** A guess from the form, or a sentence what is missing. */
const guesses = {
  number() {
    const { low, high, unit } = data.bet, guess = one('#guess');
    if (guess.checkValidity()) return { value: guess.valueAsNumber };
    return { problem: `Give a number from ${low} to ${high}${unit && `\u00a0${unit}`}.` };
  },
  choice() {
    const chosen = one('input[name=guess]:checked');
    return chosen ? { value: chosen.value } : { problem: 'Choose one of the answers.' };
  },
  curve() {
    const missing = curve.filter((value) => value === null).length;
    if (missing) return { problem: `Draw the curve to its end: ${missing} of its points ${missing === 1 ? 'is' : 'are'} missing.` };
    return { value: curve };
  },
};

/** How far off a guess is, and the sentence that compares both. */
const gaps = {
  number(guess) {
    const { answer, unit, digits } = data.bet, off = guess - answer;
    const places = Number.isInteger(guess) ? 0 : Math.max(digits, 2);
    const gap = words(Math.abs(off), unit === '%' ? 'points' : unit, digits);
    const side = off > 0 ? 'too high' : 'too low', exact = Number(Math.abs(off).toFixed(digits)) === 0;
    return {
      gap: Math.abs(off),
      said: `You said ${words(guess, unit, places)}, and it is ${words(answer, unit, digits)}: ${exact ? 'exactly right' : `${gap} ${side}`}.`,
    };
  },
  choice(guess) {
    const right = guess === data.bet.answer;
    return { gap: right ? 0 : 2, said: right ? `You said: ${guess}. So it is.` : `You said: ${guess}. It is: ${data.bet.answer}.` };
  },
  curve(guess) {
    const gap = guess.reduce((sum, value, place) => sum + Math.abs(value - data.bet.answer[place]), 0) / guess.length;
    return { gap, said: `Your curve, dotted, is ${gap.toFixed(2)} from the measured one on average.` };
  },
};

function showGuess(value) {
  if (data.bet.kind === 'number') one('#guess').value = one('#guess-range').value = value;
  if (data.bet.kind === 'choice') all('input[name=guess]').forEach((input) => { input.checked = input.value === value; });
  if (data.bet.kind === 'curve') {
    value.forEach((each, place) => { curve[place] = each; });
    drawCurve();
    one('#reveal .picture > svg').append(one('#line').cloneNode());
  }
}

function isGuess(value, { kind, low, high, options } = data.bet) {
  if (kind === 'number') return typeof value === 'number' && value >= low && value <= high;
  if (kind === 'choice') return options.includes(value);
  return Array.isArray(value) && value.length === 11 && value.every((each) => each >= 0 && each <= high);
}

function reveal(value) {
  const { gap, said } = gaps[data.bet.kind](value), { hit = 0, near = 1 } = data.bet;
  const nearness = gap <= hit ? 'hit' : gap <= near ? 'near' : 'far';
  showUpTo(data.steps.at(-1)); // first, since only a change of what is shown is announced
  showGuess(value);
  one('#said').textContent = said;
  all('.gap').forEach((part) => { part.hidden = part.dataset.gap !== nearness; });
  all('#bet-form input, #bet-form button').forEach((part) => { part.disabled = true; });
  one('#bet-form').inert = true;
}

/** Show the steps up to the one called `last`. */
function showUpTo(last) {
  const end = data.steps.indexOf(last);
  data.steps.forEach((step, place) => { if (place <= end) one(`#${step}`).hidden = false; });
  all('nav a').forEach((link) => { link.hidden = one(link.getAttribute('href')).hidden; });
}

// -- a drawn curve -----------------------------------------------------------------------------------------------------------

const curve = [0, ...Array(10).fill(null)];
const across = (place) => data.bet.left + ((data.bet.right - data.bet.left) * place) / 10;
const up = (value) => data.bet.bottom + ((data.bet.top - data.bet.bottom) * value) / data.bet.high;

function drawCurve() {
  const points = curve.flatMap((value, place) => (value === null ? [] : `${across(place)},${up(value)}`));
  one('#line').setAttribute('points', points.join(' '));
  all('#canvas .point').forEach((point, index) => {
    const value = curve[index + 1];
    point.setAttribute('cy', up(value ?? 0));
    point.classList.toggle('set', value !== null);
    point.setAttribute('aria-valuenow', (value ?? 0).toFixed(2));
    point.setAttribute('aria-valuetext', value === null ? 'not drawn' : value.toFixed(2));
  });
}

function prepareCurve() {
  const canvas = one('#canvas');
  for (let place = 1; place <= 10; place += 1) {
    canvas.insertAdjacentHTML('beforeend', `<circle class="point" r="7" cx="${across(place)}" cy="${up(0)}" tabindex="0"
      role="slider" aria-valuemin="0" aria-valuemax="${data.bet.high}" aria-orientation="vertical"
      aria-label="Error with ${10 * place} % removed"/>`);
    canvas.lastElementChild.addEventListener('keydown', (event) => moveByKey(event, place));
  }
  const set = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(canvas.getScreenCTM().inverse());
    const place = Math.round(((at.x - data.bet.left) / (data.bet.right - data.bet.left)) * 10);
    if (place < 1 || place > 10) return;
    const value = ((at.y - data.bet.bottom) / (data.bet.top - data.bet.bottom)) * data.bet.high;
    curve[place] = Math.min(data.bet.high, Math.max(0, value));
    drawCurve();
  };
  canvas.addEventListener('pointerdown', (event) => { canvas.setPointerCapture(event.pointerId); set(event); });
  canvas.addEventListener('pointermove', (event) => { if (event.buttons) set(event); });
  drawCurve();
}

function moveByKey(event, place) {
  const points = all('#canvas .point'), move = { ArrowUp: 0.02, ArrowDown: -0.02, PageUp: 0.1, PageDown: -0.1 }[event.key];
  if (move) {
    const before = curve[place] ?? curve.slice(0, place).findLast((value) => value !== null) ?? 0;
    curve[place] = Math.min(data.bet.high, Math.max(0, before + move * data.bet.high));
    drawCurve();
  } else if (event.key === 'ArrowLeft') points[place - 2]?.focus();
  else if (event.key === 'ArrowRight') points[place]?.focus();
  else return;
  event.preventDefault();
}

// -- the task ----------------------------------------------------------------------------------------------------------------

const forecasters = {};

/** Read the curves of all criteria of the task. */
async function readCurves() {
  for (const criterion of Object.keys(data.curves.criteria)) forecasters[criterion] = await forecaster(data.curves, criterion);
}

/** What a check reads of a forecast whose recipe has the repair `chosen`. */
function valueOf({ of, site, repair }, found, chosen) {
  if (of === 'blocks') return 1 - found.blocks / data.curves.blocks;
  if (of === 'divergence') return found.divergence;
  const named = found.sites.filter((_, place) => site === null || data.curves.sites[place].name === site);
  return named.reduce((sum, each) => sum + each.errors[repair ?? chosen], 0) / named.length;
}

/** Whether each check of the task holds for `choices`, with its value; or a sentence why there is no forecast. */
function checked({ ratio, allocation, reconstruction: repair, criterion = Object.keys(forecasters)[0] }) {
  const found = forecasters[criterion]({ ratio, allocation, repair });
  if (found.problem) return { problem: found.problem, checks: [] };
  return { checks: data.task.checks.map((check) => {
    const value = valueOf(check, found, repair);
    return { value, holds: value <= (check.at_most ?? Infinity) && value >= (check.at_least ?? -Infinity) };
  }) };
}

function prepareTask() {
  const choices = { ...data.task.start };
  const controls = ['ratio', 'allocation', 'reconstruction', 'criterion'].filter((name) => one(`#task-form #${name}`));
  const draw = () => {
    for (const name of controls) one(`#${name}`).value = choices[name];
    if (one('#ratio')) one('#ratio-words').textContent = words(100 * choices.ratio, '%', 0);
    const { problem = '', checks } = checked(choices);
    one('#task-problem').textContent = problem;
    checks.forEach(({ value, holds }, place) => {
      const line = one(`[data-check="${place}"]`), { unit, digits } = data.task.checks[place];
      line.querySelector('.value').textContent = words(value * (unit === '%' ? 100 : 1), unit, digits);
      line.querySelector('.state').textContent = holds ? '✓' : '✗';
      line.querySelector('.state').ariaLabel = holds ? 'reached' : 'not yet';
    });
    const solved = checks.length > 0 && checks.every(({ holds }) => holds);
    if (solved && !recall(data.name).solved) keep(data.name, { solved: true });
    one('#solved').hidden = !solved;
  };
  one('#task-form').addEventListener('input', ({ target }) => {
    choices[target.id] = target.id === 'ratio' ? Number(target.value) : target.value;
    draw();
  });
  one('#task-form').addEventListener('submit', (event) => event.preventDefault());
  draw();
  followPage((query) => {
    const found = choicesOf(query, controls);
    one('#task-page').textContent = found ? '' : 'The page shows another recipe than that of this task, so it is not followed.';
    if (!found) return;
    Object.assign(choices, found);
    draw();
  });
}

// -- the page beside ---------------------------------------------------------------------------------------------------------

const beside = parent !== window && new URLSearchParams(location.search).has('beside');

/** Call `show` with the query of the page beside, now and whenever it changes. */
function followPage(show) {
  if (!beside) return;
  addEventListener('message', ({ source, origin, data: message }) => {
    if (source === parent && origin === location.origin && typeof message.query === 'string') show(message.query);
  });
  parent.postMessage({ lesson: data.name, asks: 'query' }, location.origin);
}

/** What the recipe of the page has for the `open` choices of the task; null if it differs in another one. */
function choicesOf(query, open) {
  const { recipe, linked } = data.task, named = new URLSearchParams(query);
  const value = (name) => (Array.isArray(linked[name]) ? named.getAll(name) : named.get(name) ?? linked[name]);
  if (Object.keys(recipe).some((name) => String(value(name)) !== String(recipe[name]))) return null;
  const found = Object.fromEntries(open.map((name) => [name, name === 'ratio' ? Number(value(name)) : value(name)]));
  const offered = (name) => name === 'ratio' || [...one(`#${name}`).options].some((option) => option.value === found[name]);
  return open.every(offered) ? found : null;
}

/** Light the parts of the page that the section in sight speaks of; a click on the words scrolls to one. */
function lightParts() {
  if (!beside) return;
  document.body.classList.add('beside');
  const light = (parts, show = false) => parent.postMessage({ lesson: data.name, light: parts, show }, location.origin);
  const seen = (section) => [...section.querySelectorAll('.part')].filter((part) => part.checkVisibility());
  const partsOf = (section) => seen(section).map((part) => part.dataset.part);
  let read = one('#look');
  const reading = new IntersectionObserver((changes) => {
    for (const { isIntersecting, target } of changes) if (isIntersecting) light(partsOf(read = target));
  }, { rootMargin: '-35% 0px -64% 0px' }); // the line a third below the upper edge
  all('main section').forEach((section) => reading.observe(section));
  light(partsOf(read));
  for (const part of all('.part')) {
    part.role = 'button';
    part.tabIndex = 0;
    part.title = 'Show it on the page';
    for (const event of ['mouseenter', 'focus']) part.addEventListener(event, () => light([part.dataset.part]));
    for (const event of ['mouseleave', 'blur']) part.addEventListener(event, () => light(partsOf(read)));
    part.addEventListener('click', () => light([part.dataset.part], true));
    part.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      light([part.dataset.part], true);
    });
  }
  for (const link of all('a[data-beside]')) link.href = link.dataset.beside;
  for (const link of all('.over a, .onward a')) link.target = '_parent';
  for (const link of all('a[rel]')) link.target = '_blank';
}

// -- the question back -------------------------------------------------------------------------------------------------------

function answerBack(value) {
  all('input[name=back]').forEach((input) => { input.checked = input.value === value; });
  all('#back-form input, #back-form button').forEach((part) => { part.disabled = true; });
  one('#back-said').textContent = value === data.back ? 'Right.' : `No: ${data.back}.`;
  one('#back-answer').hidden = false;
}

// -- the page ----------------------------------------------------------------------------------------------------------------

function prepareLesson() {
  const wanted = new URLSearchParams(location.search).get('step');
  all('.later').forEach((part) => { part.hidden = true; });
  if (one('#back-answer')) one('#back-answer').hidden = true;
  showUpTo('bet');
  if (data.bet.kind === 'curve') prepareCurve();
  if (data.bet.kind === 'number') {
    one('#guess-range').addEventListener('input', ({ target }) => { one('#guess').value = target.value; });
    one('#guess').addEventListener('input', ({ target }) => { if (target.value !== '') one('#guess-range').value = target.value; });
  }
  one('#bet-form').noValidate = true;
  one('#bet-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const { value, problem = '' } = guesses[data.bet.kind]();
    one('#bet-problem').textContent = problem;
    if (problem) return;
    keep(data.name, { bet: value });
    reveal(value);
    const title = one('#reveal-title'); // the keyboard goes on from there, since the button is gone
    title.tabIndex = -1;
    title.focus({ preventScroll: true });
    title.scrollIntoView({ behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
  });
  if (!data.task.measured) {
    readCurves().then(prepareTask, () => {
      one('#task-problem').textContent = 'This browser cannot read the curves of the task (it is older than 2023); a newer one can.';
    });
  }
  one('#back-form')?.addEventListener('submit', (event) => {
    event.preventDefault();
    const chosen = one('input[name=back]:checked');
    one('#back-problem').textContent = chosen ? '' : 'Choose one of the answers.';
    if (!chosen) return;
    keep(data.name, { back: chosen.value });
    answerBack(chosen.value);
  });
  one('#again').addEventListener('click', () => {
    forget(data.name);
    location.assign(location.pathname + (beside ? '?beside' : ''));
  });
  follow(showKept);
  if (wanted !== null) openAt(wanted);
  lightParts();
}

/** The bet and the answer that this browser keeps; read anew, since they may have been given in another tab. */
function showKept() {
  const mine = recall(data.name);
  if (!one('#bet-form').inert && isGuess(mine.bet)) reveal(mine.bet);
  if (all('input[name=back]').some((input) => input.value === mine.back)) answerBack(mine.back);
}

/** Open the step of a link, whether or not there is a bet. */
function openAt(wanted) {
  const step = data.steps[Number(wanted) - 1];
  if (!step) {
    one('#note').textContent = `This lesson has no step ${wanted}; it has ${data.steps.length}.`;
    return;
  }
  showUpTo(step);
  one(`#${step}`).scrollIntoView();
}

/** What is kept of every lesson that was begun. */
function progress() {
  const found = Object.keys(data.lessons).map((name) => [name, recall(name)]);
  return Object.fromEntries(found.filter(([, mine]) => Object.keys(mine).length));
}

/** How far each lesson has come; read anew, since a bet may have been made in another tab or arrive after this page was drawn. */
function showProgress() {
  const found = progress();
  for (const place of all('[data-progress]')) {
    const mine = found[place.dataset.progress];
    place.textContent = !mine ? '' : mine.solved ? '· bet and task done' : '· bet made';
  }
  one('#mine').hidden = !Object.keys(found).length;
}

function prepareIndex() {
  const wanted = new URLSearchParams(location.search).get('lesson');
  if (wanted !== null) one('#note').textContent = `There is no lesson ${wanted}; these are all.`;
  follow(showProgress);
  one('#save').addEventListener('click', () => {
    const content = JSON.stringify({ course: COURSE, lessons: progress() }, null, 2);
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([content], { type: 'application/json' }));
    link.download = 'my-bets.json';
    link.click();
    URL.revokeObjectURL(link.href);
  });
  one('#forget').addEventListener('click', () => {
    Object.keys(data.lessons).forEach(forget);
    location.reload();
  });
}

if (data.name) prepareLesson();
else if (one('#mine')) prepareIndex();
