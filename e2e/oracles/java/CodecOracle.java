// Lets Kafka's own generated classes write and read messages, so that our codec can be compared with them.
//
// Needs the jars of Kafka 4.3.1 on the class path and nothing else. Commands:
//   write  SCHEMAS OUT SEED COUNT   COUNT messages of every schema and version: first the default one, then random
//   recode SCHEMAS IN OUT           reads every message of IN with Kafka's classes and writes it again
//   tables                          prints Kafka's API keys, its ApiVersions answer and its error codes
// SCHEMAS has one line per schema: name, blank, class. Called by broker/protocol/tests/kafka_oracle.rs.

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

public class CodecOracle {
    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "write" -> write(schemas(args[1]), Path.of(args[2]), Long.parseLong(args[3]), Integer.parseInt(args[4]));
            case "recode" -> recode(schemas(args[1]), Path.of(args[2]), Path.of(args[3]));
            case "tables" -> KafkaTables.print(System.out);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    private static Map<String, Class<?>> schemas(String file) throws Exception {
        Map<String, Class<?>> schemas = new LinkedHashMap<>();
        for (String line : Files.readAllLines(Path.of(file))) {
            String[] nameAndClass = line.split(" ");
            schemas.put(nameAndClass[0], Class.forName(nameAndClass[1]));
        }
        return schemas;
    }

    private static void write(Map<String, Class<?>> schemas, Path out, long seed, int count) throws Exception {
        List<Frames.Frame> frames = new ArrayList<>();
        for (Map.Entry<String, Class<?>> schema : schemas.entrySet()) {
            Message empty = instance(schema.getValue());
            for (short version = empty.lowestSupportedVersion(); version <= empty.highestSupportedVersion(); version++) {
                // A random number stream of its own, so that one schema's messages do not depend on the others.
                Random random = new Random(seed ^ schema.getKey().hashCode() * 31L ^ version);
                frames.add(new Frames.Frame(schema.getKey(), version, bytes(instance(schema.getValue()), version)));
                for (int i = 1; i < count; i++) {
                    Message message = instance(schema.getValue());
                    RandomMessage.fill(message, version, random);
                    frames.add(new Frames.Frame(schema.getKey(), version, bytes(message, version)));
                }
            }
        }
        Frames.write(out, frames);
    }

    private static void recode(Map<String, Class<?>> schemas, Path in, Path out) throws Exception {
        List<Frames.Frame> frames = new ArrayList<>();
        for (Frames.Frame frame : Frames.read(in)) {
            Message message = instance(schemas.get(frame.name()));
            try {
                ByteBufferAccessor accessor = new ByteBufferAccessor(ByteBuffer.wrap(frame.bytes()));
                message.read(accessor, frame.version());
                if (accessor.remaining() != 0) {
                    throw new IOException(accessor.remaining() + " bytes left");
                }
                frames.add(new Frames.Frame(frame.name(), frame.version(), bytes(message, frame.version())));
            } catch (Exception e) {
                // What Kafka cannot read comes back empty, which no message with a field can equal.
                System.err.println("Kafka cannot read " + frame.name() + " " + frame.version() + ": " + e);
                frames.add(new Frames.Frame(frame.name(), frame.version(), new byte[0]));
            }
        }
        Frames.write(out, frames);
    }

    private static Message instance(Class<?> type) throws Exception {
        return (Message) type.getDeclaredConstructor().newInstance();
    }

    static byte[] bytes(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        return buffer.array();
    }
}
