// Two models on one text: read it, run both in turn, show answers, times, and where they differ.
import * as ort from './runtime/ort.wasm.bundle.min.mjs';
import { Tokenizer } from './runtime/tokenizers.min.mjs';

const RUNS = 3, NEAREST = 5, CLASSES = 3, LEAST = .001, PAUSE = 300;
const data = JSON.parse(document.getElementById('data').textContent);
const { labels, pair: isPair } = data.models[0].kind;
const element = id => document.getElementById(id);
const [text, second] = [element('text'), element('pair')];
const make = (tag, content, name = '') => Object.assign(document.createElement(tag), { textContent: content, className: name });

// One thread: more need headers that few static hosts send.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL('./runtime/ort-wasm-simd-threaded.wasm', import.meta.url).href };

const size = data.models.reduce((sum, model) => sum + model.bytes, 0);
let arrived = 0;

async function got(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path} is missing on this host (${answer.status})`);
  return answer;
}

/** The bytes of a file, counted as they arrive. */
async function counted(path) {
  const reader = (await got(path)).body.getReader(), parts = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(await new Blob(parts).arrayBuffer());
    parts.push(value);
    arrived += value.length;
    element('progress').value = Math.min(arrived / size, 1);
    element('status').textContent = `Loading both models: ${(arrived / 1e6).toFixed(1)} of ${(size / 1e6).toFixed(1)} MB`;
  }
}

async function load(about) {
  const beside = name => got(`${about.folder}/${name}`);
  const [tokenizer, config] = await Promise.all(['tokenizer.json', 'tokenizer_config.json'].map(async name => (await beside(name)).json()));
  const session = await ort.InferenceSession.create(await counted(`${about.folder}/${about.file}`), { executionProviders: ['wasm'] });
  const vectors = labels ? null : new Float32Array(await (await beside('vectors.bin')).arrayBuffer());
  return { ...about, tokenizer: new Tokenizer(tokenizer, config), session, vectors };
}

/** Ids and types of a text, cut to the length that the model was compared at; of a pair the longer text loses its end. */
function encoded(model, first, other) {
  let [one, two] = [model.prompt + first, other];
  for (;;) {
    const options = { return_token_type_ids: true, ...(isPair ? { text_pair: two } : {}) };
    const { ids, token_type_ids: types } = model.tokenizer.encode(one, options);
    if (ids.length <= model.length) return { ids, types };
    if (!isPair) return { ids: [...ids.slice(0, model.length - 1), ids.at(-1)], types: types.slice(0, model.length) };
    const shorter = words => words.slice(0, Math.floor(.95 * words.length));
    if (one.length > two.length) one = shorter(one); else two = shorter(two);
  }
}

function feeds(model, first, other) {
  const { ids, types } = encoded(model, first, other);
  const tensor = numbers => new ort.Tensor('int64', BigInt64Array.from(numbers, BigInt), [1, numbers.length]);
  const found = { input_ids: tensor(ids), attention_mask: tensor(ids.map(() => 1)) };
  return model.types ? { ...found, token_type_ids: tensor(types ?? ids.map(() => 0)) } : found;
}

const best = (scores, count) => [...scores.keys()].sort((a, b) => scores[b] - scores[a]).slice(0, count);

function classes(output) {
  const logits = output.logits.data, top = Math.max(...logits);
  const shares = Array.from(logits, logit => Math.exp(logit - top)), sum = shares.reduce((a, b) => a + b);
  const found = best(shares, CLASSES).map(index => ({ title: labels[index], score: shares[index] / sum }));
  return found.filter(({ score }) => score >= LEAST);
}

function articles(model, output) {
  const asked = output.sentence_embedding.data, width = asked.length;
  const scores = data.articles.map((_, index) =>
    asked.reduce((sum, each, place) => sum + each * model.vectors[index * width + place], 0));
  return best(scores, NEAREST).map(index => ({ ...data.articles[index], score: scores[index] }));
}

function show(model, number, answers, milliseconds, others) {
  const section = document.querySelector(`[data-model="${number}"]`), list = document.createElement('ol');
  for (const answer of answers) {
    const isOther = !labels && !others.some(other => other.title === answer.title);
    const item = make('li', '', isOther ? 'other' : '');
    item.append(make('b', answer.title), make('span', labels ? `${(100 * answer.score).toFixed(1)} %` : answer.score.toFixed(3)));
    if (labels) item.append(Object.assign(document.createElement('i'), { style: `width: ${(100 * answer.score).toFixed(1)}%` }));
    else item.append(make('small', answer.text));
    list.append(item);
  }
  section.querySelector('.answer').replaceChildren(list);
  section.querySelector('.time').textContent = `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms in this browser`;
}

function verdict(answers) {
  const [whole, smaller] = answers.map(each => each.map(answer => answer.title));
  if (labels) return whole[0] === smaller[0] ? `Both say ${whole[0]}.` : `They differ: ${whole[0]}, and ${smaller[0]} from the smaller one.`;
  return `${whole.filter(title => smaller.includes(title)).length} of the ${NEAREST} nearest are the same.`;
}

let models = [], turn = 0;

async function answer() {
  const mine = ++turn, [first, other] = [text.value.trim(), second?.value.trim() ?? ''];
  if (!first || (isPair && !other)) {
    element('verdict').textContent = isPair ? 'Type two texts.' : 'Type a text.';
    for (const place of document.querySelectorAll('.answer, .time')) place.replaceChildren();
    return;
  }
  const times = models.map(() => []), outputs = [];
  for (let run = 0; run < RUNS; run++)
    for (const [number, model] of models.entries()) {
      const begun = performance.now();
      outputs[number] = await model.session.run(feeds(model, first, other));
      times[number].push(performance.now() - begun);
      await new Promise(resolve => setTimeout(resolve));
      if (mine !== turn) return;
    }
  const answers = models.map((model, number) => labels ? classes(outputs[number]) : articles(model, outputs[number]));
  for (const [number, model] of models.entries())
    show(model, number, answers[number], times[number].sort((a, b) => a - b)[1], answers[1 - number]);
  element('verdict').textContent = verdict(answers);
  document.body.dataset.answered = JSON.stringify(isPair ? [first, other] : [first]);
  const kept = new URLSearchParams(isPair ? { text: first, pair: other } : { text: first });
  history.replaceState(null, '', `#${kept}`);
}

function failed(error) {
  element('progress').hidden = true;
  element('status').textContent = `This cannot be shown: ${error.message}. Try again in a current browser, or ask who runs this page.`;
}

function write(example) {
  text.value = example[0];
  if (second) second.value = example[1] ?? '';
  answer().catch(failed);
}

try {
  for (const about of data.models) models.push(await load(about));
  element('status').textContent = 'Both models are here, and nothing that you type leaves this device.';
  element('progress').hidden = true;
  for (const each of document.querySelectorAll('textarea, select')) each.disabled = false;
  let waiting;
  for (const field of [text, second].filter(Boolean))
    field.addEventListener('input', () => { clearTimeout(waiting); waiting = setTimeout(() => answer().catch(failed), PAUSE); });
  element('example').addEventListener('change', event => write(data.examples[event.target.value]));
  element('asked').addEventListener('submit', event => event.preventDefault());
  const kept = new URLSearchParams(location.hash.slice(1));
  write(kept.has('text') ? [kept.get('text'), kept.get('pair')] : data.examples[0]);
} catch (error) {
  failed(error);
}
