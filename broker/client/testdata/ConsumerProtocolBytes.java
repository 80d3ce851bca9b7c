// Prints subscriptions and assignments as Kafka's own ConsumerProtocol encodes them, one per line: name, hex.
// Run: java -cp "$LOGSPINE_KAFKA_LIBS/*" ConsumerProtocolBytes.java > consumer_protocol.txt
import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Assignment;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.TopicPartition;

public class ConsumerProtocolBytes {
    public static void main(String[] args) {
        var owned = List.of(new TopicPartition("bills", 7), new TopicPartition("orders", 0), new TopicPartition("orders", 2));
        var plain = new Subscription(List.of("bills", "orders"));
        var full = new Subscription(List.of("bills", "orders"), ByteBuffer.wrap(new byte[] {1, 2, 3}), owned, 42, Optional.of("rack-a"));
        for (short version = 0; version <= 3; version++) {
            print("subscription plain " + version, ConsumerProtocol.serializeSubscription(plain, version));
            print("subscription full " + version, ConsumerProtocol.serializeSubscription(full, version));
            print("assignment empty " + version, ConsumerProtocol.serializeAssignment(new Assignment(List.of()), version));
            print("assignment full " + version, ConsumerProtocol.serializeAssignment(new Assignment(owned), version));
        }
    }

    static void print(String name, ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        System.out.println(name + " " + HexFormat.of().formatHex(bytes));
    }
}
