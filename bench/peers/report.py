"""The report as tables in Markdown."""

ROWS = [
    ("evodb", "EvoDB, `fdatasync` before each acknowledgement"),
    ("jetstream_default", "NATS JetStream, syncs every 2 minutes (its default)"),
    ("jetstream_sync_always", "NATS JetStream, `sync_interval: always`"),
    ("kafka_default", "Kafka, leaves syncing to the kernel (its default)"),
    ("kafka_sync", "Kafka, `flush.messages=1`"),
]


def markdown(report):
    metrics, settings, rounds = report["metrics"], report["settings"], report["rounds_entries_per_s"]
    lines = ["| | entries a second, median | each round | EvoDB is |", "|---|---:|---|---:|"]
    for name, title in ROWS:
        rate = metrics.get(name + "_entries_per_s")
        if rate is None:
            lines.append(f"| {title} | absent | | |")
            continue
        measured = settings["best_of"].get(name, name)
        how = f" ({measured.removeprefix(name + '_')})" if measured != name else ""
        ratio = metrics.get("ratio_" + name)
        lines.append(f"| {title}{how} | {rate:,.0f} | {', '.join(f'{r:,.0f}' for r in rounds[measured])} | "
                     f"{f'{ratio:.1f} x' if ratio else ''} |")
    others = [name for name in rounds if name != "evodb" and name not in settings["best_of"].values()]
    if others:
        lines += ["", "Other ways to publish, slower and not used for the ratio:", ""]
    for name in others:
        each = ", ".join(f"{v:,.0f}" for v in rounds[name])
        lines.append(f"- `{name}`: {metrics[name + '_entries_per_s']:,.0f} ({each})")
    versions = [f"EvoDB {settings['evodb']['version']}"]
    if "nats" in settings:
        versions.append(f"nats-server {settings['nats']['server_version']} with {settings['nats']['client']}")
    if "kafka" in settings:
        versions.append(f"Kafka {settings['kafka']['version']} on {settings['kafka']['java']} with "
                        + " and ".join(settings["kafka"]["clients"].values()))
    lines += ["", f"{'; '.join(versions)}. {settings['cores']} cores for server and generator, "
              f"{settings['sources']} sources, rows of {settings['payload_bytes']} bytes. Disk, in the same rounds: "
              f"20 KB written and synced in {metrics['raw_disk_sync_20k_ms_p50']:.2f} ms (p50), "
              f"{metrics['raw_disk_sync_20k_ms_p99']:.2f} ms (p99); "
              f"{metrics['raw_disk_sequential_mb_per_s']:,.0f} MB/s in sequence."]
    for peer, reason in report.get("absent", {}).items():
        lines.append(f"\n{peer} is absent: {reason}")
    for retry in report.get("retried", []):
        lines.append(f"\nMeasured a second time: {retry['name']} in round {retry['round']}: {retry['error']}")
    return "\n".join(lines)
