'use strict';
// Forecasts from stored curves, with the arithmetic of liar/explore/allocation.py and forecast.py.

/** Bytes of packed numbers of a `size` in bytes: base64 of compressed planes, the first byte of every number before the second. */
async function unpacked(text, size) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer()), length = planes.length / size;
  return Uint8Array.from(planes, (_, place) => planes[(place % size) * length + Math.floor(place / size)]).buffer;
}

/**
 * A function from a ratio, an allocation and a repair to their forecast under one criterion; its `sites` are those of `data`
 * with a curve and its points.
 */
async function forecaster(data, criterion) {
  const stored = data.criteria[criterion], repairs = data.repairs.map((repair) => repair.name);
  const order = new Uint16Array(await unpacked(stored.global, 2)), curves = new Float32Array(await unpacked(stored.curves, 4));
  let end = 0;
  const sites = data.sites.map((site) => {
    const length = Math.min(101, site.bundles + 1), first = end;
    end += 2 * repairs.length * length;
    const removedAt = Array.from({ length }, (_, point) =>
      length === 101 ? nearestRemoved(site.bundles, point / 100) : point);
    const curve = (repair, aware) => {
      const start = first + (Number(aware) * repairs.length + repairs.indexOf(repair)) * length;
      return curves.subarray(start, start + length);
    };
    return { ...site, removedAt, curve };
  });

  function nearestRemoved(bundles, ratio) {
    return Math.ceil(Number((ratio * bundles).toFixed(9)) - 0.5);
  }

  function roundHalfEven(value) {
    const floor = Math.floor(value), rest = value - floor;
    if (rest !== 0.5) return Math.round(value);
    return floor % 2 ? floor + 1 : floor;
  }

  /** Relative error of a site with `kept` of its bundles. */
  function errorAt(site, repair, kept, aware = false) {
    const curve = site.curve(repair, aware), points = site.removedAt, removed = site.bundles - kept;
    let last = 0;
    while (last + 1 < points.length && points[last + 1] <= removed) last += 1;
    if (points[last] === removed || last + 1 === points.length) return curve[last];
    const slope = (curve[last + 1] - curve[last]) / (points[last + 1] - points[last]);
    return slope * (removed - points[last]) + curve[last];
  }

  function floorOf(site, ratio) {
    return Math.max(1, Math.min(Math.ceil(site.bundles / data.floor), site.bundles - nearestRemoved(site.bundles, ratio)));
  }

  function byScores(kept, floors, left) {
    for (const index of order) {
      const cost = sites[index].parameters;
      if (kept[index] > floors[index] && left >= cost / 2) {
        kept[index] -= 1;
        left -= cost;
      }
    }
    return kept;
  }

  function byCurve(kept, floors, left, repair, withLoss) {
    const damage = (site, count) => {
      const found = errorAt(site, repair, count, !withLoss) * site.energy[withLoss ? 0 : 1];
      return withLoss ? found * site.sensitivity : found;
    };
    const offers = new Map();
    const offer = (index) => {
      const site = sites[index];
      const step = Math.min(Math.max(1, Math.floor(site.bundles / data.steps)), kept[index] - floors[index]);
      offers.delete(index);
      if (step <= 0) return;
      const rise = damage(site, kept[index] - step) - damage(site, kept[index]);
      offers.set(index, { price: rise / (step * site.parameters), step });
    };
    sites.forEach((_, index) => offer(index));
    while (offers.size) {
      let index = -1;
      for (const [other, { price }] of offers) {
        const best = offers.get(index);
        if (!best || price < best.price || (price === best.price && other < index)) index = other;
      }
      const { step } = offers.get(index), cost = sites[index].parameters;
      const take = Math.max(Math.min(step, roundHalfEven(left / cost)), kept[index] - sites[index].bundles);
      kept[index] -= take;
      left -= take * cost;
      if (take < step) offers.delete(index);
      else offer(index);
    }
    return kept;
  }

  function allocated(allocation, ratio, repair) {
    if (allocation === 'uniform') return sites.map((site) => site.bundles - nearestRemoved(site.bundles, ratio));
    const all = sites.reduce((sum, site) => sum + site.bundles * site.parameters, 0);
    const start = [sites.map((site) => site.bundles), sites.map((site) => floorOf(site, ratio)), ratio * all];
    return allocation === 'global' ? byScores(...start) : byCurve(...start, repair, allocation !== 'error-curve');
  }

  /** Kept neurons in multiples, at least one a site, by largest remainder; uniform ones are rounded down. */
  function settled(counts, together) {
    const { multiple } = data, kept = [...counts];
    const cut = sites.flatMap((site, index) => site.kind === 'ffn' && counts[index] < site.bundles ? [index] : []);
    let left = 0;
    for (const index of cut) {
      kept[index] = multiple * Math.max(1, Math.floor(counts[index] / multiple));
      left += together ? counts[index] - kept[index] : 0;
    }
    const change = (sign, open) => {
      const [first, ...others] = cut.filter(open);
      if (first === undefined) return false;
      const gain = (index) => sign * (counts[index] - kept[index]);
      kept[others.reduce((best, index) => gain(index) > gain(best) ? index : best, first)] += sign * multiple;
      left -= sign * multiple;
      return true;
    };
    while (left >= multiple && change(1, (index) => kept[index] + multiple <= sites[index].bundles));
    while (left < 0 && change(-1, (index) => kept[index] > multiple));
    return kept;
  }

  /** Kept units and errors of every site, the parameters left and the predicted nats, or why the ratio cannot be taken. */
  function forecast({ ratio, allocation, repair }) {
    const empty = sites.find((site) => site.bundles - nearestRemoved(site.bundles, ratio) < 1);
    if (empty) {
      const most = (empty.bundles - 1) / empty.bundles;
      return { problem: `${empty.name} would be left without units; choose a ratio of at most ${most.toFixed(2)}.` };
    }
    const kept = settled(allocated(allocation, ratio, repair), allocation !== 'uniform');
    const shifts = data.repairs[repairs.indexOf(repair)].bias;
    const cut = new Set(sites.filter((site, index) => shifts && kept[index] < site.bundles).map((site) => site.kind));
    let change = 0, divergence = 0;
    const reports = sites.map((site, index) => {
      change -= (site.bundles - kept[index]) * site.parameters;
      if (cut.has(site.kind)) change += site.bias[0] + kept[index] * site.bias[1];
      const errors = Object.fromEntries(repairs.map((name) => [name, errorAt(site, name, kept[index])]));
      divergence += (errors[repair] * site.energy[0] * site.sensitivity) / 2;
      return { kept: kept[index] * site.group, errors };
    });
    return { sites: reports, after: data.parameters + change, blocks: data.blocks + change, divergence };
  }

  return Object.assign(forecast, { sites });
}
