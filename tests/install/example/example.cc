// Queues changes without a parent there, and shows what a user would see. Run by
// tests/install/run.sh; `example ws://host:port` sends them.
#include <evodb/client.h>

#include <cstdio>

int main(int argc, char** argv) {
  evodb::RpcClientOptions options;
  options.url = argc > 1 ? argv[1] : "ws://127.0.0.1:1";
  options.child_id = "install-example";
  options.outbox.max_bytes = 2'000;
  auto client = evodb::create_rpc_client(options);
  if (!client) {
    std::fprintf(stderr, "%s\n", client.error().text.c_str());
    return 1;
  }
  evodb::RpcClient& c = **client;
  auto known = c.register_table({"orders", {{"id", "INTEGER", 1}, {"total", "REAL", 0}}});
  if (!known || !c.connect()) return 1;

  int sent = 0;
  for (;; ++sent) {
    const auto lsn = c.send({.op = evodb::Op::kInsert,
                             .table = "orders",
                             .after = {evodb::Value::integer(sent), evodb::Value::real(9.5)}});
    if (lsn) continue;
    if (lsn.error().kind != evodb::ErrorKind::kOverLimit) return 1;
    std::printf("%d sent, then: %s\n", sent, lsn.error().text.c_str());
    break;
  }
  const auto flushed = c.flush(argc > 1 ? 10'000 : 300);
  if (!flushed) std::printf("%s\n", flushed.error().text.c_str());
  const evodb::ClientStats stats = c.get_stats();
  std::printf("connected %d, acknowledged %llu, held %llu bytes, last error \"%s\"\n",
              stats.connected, static_cast<unsigned long long>(stats.last_ack_lsn.value),
              static_cast<unsigned long long>(stats.held_bytes),
              stats.last_error ? stats.last_error->text.c_str() : "");
  c.disconnect();
  if (sent == 0) return 1;
  return argc > 1 ? (flushed ? 0 : 1) : (flushed || !stats.last_error ? 1 : 0);
}
