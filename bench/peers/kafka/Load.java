import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.internals.AppInfoParser;

/**
 * The load that `evodb bench ingest` makes, made for Kafka: sources that each send rows of 200 bytes,
 * in order, to one partition; idempotent producers, acks=all. Checks what the broker has before it
 * says how long it took; prints one JSON object.
 *
 *   java -cp 'jars/*:classes' Load --bootstrap 127.0.0.1:9092 --entries 2000000
 *
 * What begins with "producer." and "topic." goes to Kafka as it is: --topic.flush.messages 1.
 * --native PATH sends with that program (native_load_main.cc) and its client's settings instead.
 */
public final class Load {
  static final int PAYLOAD_BYTES = 200;
  static final int READ_BACK_PER_PARTITION = 25;

  final String bootstrap, nativeLoad;
  final int producers, partitions, sources, entries, warmup;
  final Map<String, String> producerSettings = new TreeMap<>();
  final Map<String, String> topicSettings = new TreeMap<>();

  Load(Map<String, String> arguments) {
    bootstrap = arguments.getOrDefault("bootstrap", "127.0.0.1:9092");
    nativeLoad = arguments.get("native");
    producers = Integer.parseInt(arguments.getOrDefault("producers", "2"));
    partitions = Integer.parseInt(arguments.getOrDefault("partitions", "4"));
    sources = Integer.parseInt(arguments.getOrDefault("sources", "32"));
    entries = Integer.parseInt(arguments.getOrDefault("entries", "2000000"));
    warmup = Integer.parseInt(arguments.getOrDefault("warmup", "1000000"));
    arguments.forEach((key, value) -> {
      if (key.startsWith("producer.")) producerSettings.put(key.substring(9), value);
      if (key.startsWith("topic.")) topicSettings.put(key.substring(6), value);
    });
    if (sources < producers || sources % producers != 0 || entries % sources != 0 || warmup % sources != 0) {
      throw new IllegalArgumentException(
          "sources must be a multiple of producers; entries and warmup multiples of sources");
    }
  }

  public static void main(String[] args) throws Exception {
    Map<String, String> arguments = new TreeMap<>();
    for (int i = 0; i + 1 < args.length; i += 2) {
      if (!args[i].startsWith("--")) throw new IllegalArgumentException("expected --name value, got " + args[i]);
      arguments.put(args[i].substring(2), args[i + 1]);
    }
    System.out.println(new Load(arguments).run());
  }

  String run() throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      if (warmup > 0) {
        makeTopic(admin, "warmup");
        send("warmup", warmup);
        admin.deleteTopics(List.of("warmup")).all().get();
      }
      makeTopic(admin, "timed");
      double seconds = send("timed", entries);
      long stored = stored(admin, "timed");
      if (stored != entries) {
        throw new IllegalStateException("the broker has " + stored + " records of " + entries);
      }
      int compared = readBack("timed");
      DuplicateProbe.Outcome duplicates = new DuplicateProbe(bootstrap, "timed").run();
      long again = stored(admin, "timed") - stored;
      if (again != duplicates.fresh() || !duplicates.refused()) {
        throw new IllegalStateException("a batch that was sent twice is there " + again + " records long, it has "
            + duplicates.fresh());
      }
      admin.deleteTopics(List.of("timed")).all().get();
      return String.format("{\"entries_per_s\": %.1f, \"entries\": %d, \"seconds\": %.4f, \"stored\": %d, "
              + "\"duplicates_sent\": %d, \"duplicates_stored\": %d, \"messages_read_back\": %d, "
              + "\"client_version\": \"%s\"}",
          entries / seconds, entries, seconds, stored, duplicates.fresh(), again - duplicates.fresh(), compared,
          nativeLoad == null ? "kafka-clients " + AppInfoParser.getVersion()
              : "librdkafka " + outputOf(List.of(nativeLoad, "--version")));
    }
  }

  void makeTopic(Admin admin, String name) throws Exception {
    if (admin.listTopics().names().get().contains(name)) admin.deleteTopics(List.of(name)).all().get();
    NewTopic topic = new NewTopic(name, partitions, (short) 1).configs(topicSettings);
    for (int attempt = 0;; ++attempt) {
      try {
        admin.createTopics(List.of(topic)).all().get();
        break;
      } catch (Exception e) {
        // The one before may still be going.
        if (attempt == 50) throw e;
        Thread.sleep(100);
      }
    }
    // A producer that meets a partition without a leader backs off; that is not what is measured.
    for (int attempt = 0;; ++attempt) {
      try {
        if (admin.describeTopics(List.of(name)).allTopicNames().get().get(name).partitions().stream()
                .allMatch(p -> p.leader() != null && !p.leader().isEmpty())) {
          return;
        }
      } catch (java.util.concurrent.ExecutionException e) {
        if (attempt == 100) throw e;
      }
      if (attempt == 100) throw new IllegalStateException(name + " has partitions without a leader");
      Thread.sleep(100);
    }
  }

  /** Seconds from the first record sent to the last one acknowledged. */
  double send(String topic, int total) throws Exception {
    return nativeLoad == null ? publish(topic, total) : publishNative(topic, total);
  }

  double publishNative(String topic, int total) throws Exception {
    List<String> command = new ArrayList<>(List.of(nativeLoad, topic, "" + total, "" + sources, "" + partitions,
        "" + producers, "bootstrap.servers=" + bootstrap));
    producerSettings.forEach((name, value) -> command.add(name + "=" + value));
    return Double.parseDouble(outputOf(command));
  }

  static String outputOf(List<String> command) throws Exception {
    Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    String output = new String(process.getInputStream().readAllBytes()).trim();
    if (process.waitFor() != 0) throw new IllegalStateException(command.get(0) + " failed");
    return output;
  }

  Properties producerProperties() {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", bootstrap);
    properties.put("key.serializer", ByteArraySerializer.class.getName());
    properties.put("value.serializer", ByteArraySerializer.class.getName());
    properties.put("acks", "all");
    properties.put("enable.idempotence", "true");
    properties.putAll(producerSettings);
    return properties;
  }

  double publish(String topic, int total) throws Exception {
    List<KafkaProducer<byte[], byte[]>> clients = new ArrayList<>();
    for (int i = 0; i < producers; ++i) {
      clients.add(new KafkaProducer<>(producerProperties()));
      clients.get(i).partitionsFor(topic);
    }
    AtomicLong acknowledged = new AtomicLong();
    AtomicReference<Exception> failure = new AtomicReference<>();
    List<Thread> threads = new ArrayList<>();
    int share = total / sources;
    long begun = System.nanoTime();
    for (int i = 0; i < producers; ++i) {
      KafkaProducer<byte[], byte[]> client = clients.get(i);
      int first = i;
      threads.add(new Thread(() -> {
        byte[] payload = emptyPayload();
        long[] mine = {0};
        for (long lsn = 1; lsn <= share && failure.get() == null; ++lsn) {
          for (int source = first; source < sources; source += producers) {
            // send() copies the bytes into its batch before it returns: one array is enough.
            fill(payload, source, lsn);
            client.send(new ProducerRecord<>(topic, source % partitions, null, payload), (metadata, error) -> {
              if (error != null) failure.compareAndSet(null, error);
              else ++mine[0];
            });
          }
        }
        client.flush();
        acknowledged.addAndGet(mine[0]);
      }));
    }
    threads.forEach(Thread::start);
    for (Thread thread : threads) thread.join();
    double seconds = (System.nanoTime() - begun) / 1e9;
    for (KafkaProducer<byte[], byte[]> client : clients) client.close(Duration.ofSeconds(10));
    if (failure.get() != null) throw failure.get();
    if (acknowledged.get() != total) {
      throw new IllegalStateException(acknowledged.get() + " of " + total + " acknowledged");
    }
    return seconds;
  }

  static byte[] emptyPayload() {
    byte[] bytes = new byte[PAYLOAD_BYTES];
    java.util.Arrays.fill(bytes, (byte) 'x');
    return bytes;
  }

  /** A row as `evodb bench ingest` sends it: a number and letters, the first 64 not all the same. */
  static void fill(byte[] bytes, int source, long lsn) {
    ByteBuffer.wrap(bytes).putShort(0, (short) source).putLong(2, lsn);
    for (int i = 0; i < 64; i += 8) {
      long noise = (lsn + i) * 0x9e3779b97f4a7c15L;
      for (int j = 0; j < 8; ++j) bytes[10 + i + j] = (byte) ('a' + (int) ((noise >>> (8 * j)) & 0xff) % 26);
    }
  }

  long stored(Admin admin, String topic) throws Exception {
    Map<TopicPartition, OffsetSpec> query = new java.util.HashMap<>();
    for (int i = 0; i < partitions; ++i) query.put(new TopicPartition(topic, i), OffsetSpec.latest());
    return admin.listOffsets(query).all().get(30, TimeUnit.SECONDS).values().stream().mapToLong(o -> o.offset()).sum();
  }

  /** Samples of each partition, compared with what was sent. Returns how many. */
  int readBack(String topic) {
    int compared = 0;
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
        Map.of("bootstrap.servers", bootstrap, "max.poll.records", READ_BACK_PER_PARTITION),
        new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      for (int i = 0; i < partitions; ++i) {
        TopicPartition partition = new TopicPartition(topic, i);
        consumer.assign(List.of(partition));
        consumer.seek(partition, consumer.endOffsets(List.of(partition)).get(partition) / 2);
        int before = compared;
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(10))) {
          ByteBuffer head = ByteBuffer.wrap(record.value());
          byte[] expected = emptyPayload();
          fill(expected, head.getShort(0), head.getLong(2));
          if (head.getShort(0) % partitions != i || !java.util.Arrays.equals(expected, record.value())) {
            throw new IllegalStateException(partition + " offset " + record.offset() + " is not what was sent");
          }
          ++compared;
        }
        if (compared == before) throw new IllegalStateException(partition + " could not be read");
      }
    }
    return compared;
  }
}
