#include "parent/pages.h"

namespace evodb::parent {

// One page, no external assets, reading /status twice a second.
std::string live_page() {
  return R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>EvoDB parent</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.3rem;margin:0 0 .2rem}.muted{opacity:.65}
#phase{font-weight:600}.ready{color:#188038}.bad{color:#c5221f}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:1rem;margin:1.2rem 0}
dt{opacity:.65;font-size:.85rem}dd{margin:0;font-size:1.25rem;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.3rem .5rem;border-bottom:1px solid #8884}
th:first-child,td:first-child{text-align:left;overflow-wrap:anywhere}
</style></head><body>
<h1>EvoDB parent <span id="phase"></span></h1>
<div class="muted" id="about"></div><div class="bad" id="degraded"></div>
<dl id="figures"></dl>
<table><thead><tr><th>table</th><th>landed</th><th>waiting</th><th>age ms</th><th>commits</th>
<th>last commit</th></tr></thead><tbody id="tables"></tbody></table>
<noscript>This page shows /status live with JavaScript; without it read <a href="/status">/status</a>.
</noscript>
<script>
const $ = id => document.getElementById(id);
const n = v => Number(v).toLocaleString();
let before = null;
function figure(name, value) {
  const dt = document.createElement('dt'), dd = document.createElement('dd'),
        box = document.createElement('div');
  dt.textContent = name; dd.textContent = value; box.append(dt, dd); return box;
}
async function show() {
  try {
    const s = await (await fetch('/status')).json(), now = performance.now();
    $('phase').textContent = s.phase; $('phase').className = s.ready ? 'ready' : 'bad';
    $('degraded').textContent = s.degraded_reasons.map(r => r.text).join('; ');
    $('about').textContent = `version ${s.version}, parent ${s.parent_id}, up ${n(Math.floor(s.uptime_ms / 1000))} s`;
    const rate = before ? (s.ingest.entries - before.entries) / (now - before.now) * 1000 : 0;
    before = {entries: s.ingest.entries, now};
    $('figures').replaceChildren(
      figure('changes a second', n(Math.round(rate))), figure('changes taken', n(s.ingest.entries)),
      figure('changes landed', n(s.landing.entries_landed)), figure('in buffers', n(s.buffers.entries)),
      figure('children connected', n(s.connections.children)), figure('sources', n(s.sources.known)),
      figure('journal lag, bytes', n(s.journal.lag_bytes)), figure('rejected', n(s.landing.entries_rejected)));
    $('tables').replaceChildren(...Object.entries(s.tables).map(([name, t]) => {
      const row = document.createElement('tr');
      for (const v of [name, n(t.entries_landed), n(t.lag_entries), n(t.lag_age_ms), n(t.commits),
                       t.last_commit_at_ms ? new Date(t.last_commit_at_ms).toLocaleTimeString() : '']) {
        const cell = document.createElement('td'); cell.textContent = v; row.append(cell);
      }
      if (t.last_error) row.title = t.last_error;
      return row;
    }));
  } catch (e) { $('phase').textContent = 'not reachable'; $('phase').className = 'bad'; }
  setTimeout(show, 500);
}
show();
</script></body></html>
)html";
}

}  // namespace evodb::parent
