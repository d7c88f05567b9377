import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.ProduceResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.requests.AbstractResponse;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.requests.ProduceResponse;
import org.apache.kafka.common.requests.RequestHeader;

/**
 * What a producer does whose acknowledgement was lost: the same batch, with the same producer id and
 * sequence, is sent twice. The public API gives no way to do so, hence requests made by hand.
 */
final class DuplicateProbe {
  static final short VERSION = 12;  // the last one that names topics rather than ids
  static final long PRODUCER_ID = 987_654_321L;

  record Outcome(int fresh, boolean refused) {}

  final String host, topic;
  final int port;

  DuplicateProbe(String bootstrap, String topic) {
    int colon = bootstrap.lastIndexOf(':');
    this.host = bootstrap.substring(0, colon);
    this.port = Integer.parseInt(bootstrap.substring(colon + 1));
    this.topic = topic;
  }

  Outcome run() throws IOException {
    final int records = 100;
    try (Socket socket = new Socket(host, port)) {
      socket.setSoTimeout(30_000);
      long first = produce(socket, records, 1);
      long second = produce(socket, records, 2);
      return new Outcome(records, first == second);
    }
  }

  /** The offset that the broker gives the batch. */
  long produce(Socket socket, int count, int correlation) throws IOException {
    List<SimpleRecord> records = new ArrayList<>();
    for (int i = 0; i < count; ++i) records.add(new SimpleRecord(1_700_000_000_000L, null, Load.emptyPayload()));
    MemoryRecords batch = MemoryRecords.withIdempotentRecords(
        Compression.NONE, PRODUCER_ID, (short) 0, 0, records.toArray(new SimpleRecord[0]));
    ProduceRequestData data = new ProduceRequestData().setAcks((short) -1).setTimeoutMs(10_000);
    data.topicData().add(new ProduceRequestData.TopicProduceData().setName(topic).setPartitionData(
        List.of(new ProduceRequestData.PartitionProduceData().setIndex(0).setRecords(batch))));
    ProduceRequest request = new ProduceRequest.Builder(VERSION, VERSION, data).build(VERSION);
    RequestHeader header = new RequestHeader(ApiKeys.PRODUCE, VERSION, "duplicate-probe", correlation);
    ByteBuffer bytes = request.serializeWithHeader(header);
    DataOutputStream out = new DataOutputStream(socket.getOutputStream());
    out.writeInt(bytes.remaining());
    out.write(bytes.array(), bytes.arrayOffset() + bytes.position(), bytes.remaining());
    out.flush();
    DataInputStream in = new DataInputStream(socket.getInputStream());
    byte[] answer = new byte[in.readInt()];
    in.readFully(answer);
    ProduceResponse response = (ProduceResponse) AbstractResponse.parseResponse(ByteBuffer.wrap(answer), header);
    ProduceResponseData.PartitionProduceResponse partition =
        response.data().responses().iterator().next().partitionResponses().get(0);
    Errors error = Errors.forCode(partition.errorCode());
    if (error != Errors.NONE) throw new IOException("produce by hand: " + error);
    return partition.baseOffset();
  }
}
