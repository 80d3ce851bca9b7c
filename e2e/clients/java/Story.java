// A story told by Apache's Java client: every codec, replay, seek by time, a group of three with rebalances.
//
// Prints facts, one per line with tabs: what was written, what was read in which phase, who held how many
// partitions, what was committed. The test that started this compares them; nothing is judged here.
// Run: java -cp "$LOGSPINE_KAFKA_LIBS/*" Story.java BOOTSTRAP TOPIC
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Story {
    static final long TIME_OF_RECORD_0 = 1_700_000_000_000L;
    static String bootstrap, topic;
    static int written = 0;

    public static void main(String[] args) throws Exception {
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
        });
        bootstrap = args[0];
        topic = args[1];
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) write(codec, 200);
        replay();
        readFromTime(TIME_OF_RECORD_0 + 499_500);
        groupOfThree("eager", "org.apache.kafka.clients.consumer.RangeAssignor");
        groupOfThree("cooperative", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
        replayInsideOfGroup("eager");
        System.out.flush();
    }

    static synchronized void tell(Object... fact) {
        var line = new StringBuilder();
        for (Object word : fact) line.append(line.isEmpty() ? "" : "\t").append(word);
        System.out.println(line);
    }

    /** Writes the next numbered records, the number as value and half of the key, one second apart. */
    static void write(String codec, int count) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "compression.type", codec, "linger.ms", 5);
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (int end = written + count; written < end; written++) {
                String value = "" + written;
                long time = TIME_OF_RECORD_0 + written * 1000L;
                producer.send(new ProducerRecord<>(topic, null, time, "key " + value, value), (metadata, error) -> {
                    if (error != null) throw new IllegalStateException(error);
                    tell("wrote", codec, metadata.partition(), metadata.offset(), time, value);
                });
            }
        }
    }

    static KafkaConsumer<String, String> consumer(Map<String, Object> more) {
        var config = new HashMap<String, Object>(Map.of(
            "bootstrap.servers", bootstrap, "auto.offset.reset", "earliest", "enable.auto.commit", false,
            "max.poll.records", 10, "fetch.max.wait.ms", 20));
        config.putAll(more);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    static void read(String phase, ConsumerRecord<String, String> record) {
        tell("read", phase, record.partition(), record.offset(), record.timestamp(), record.value());
    }

    static List<TopicPartition> partitions(KafkaConsumer<String, String> consumer) {
        return consumer.partitionsFor(topic).stream().map(info -> new TopicPartition(topic, info.partition())).toList();
    }

    static void readToEnd(String phase, KafkaConsumer<String, String> consumer) {
        var ends = consumer.endOffsets(consumer.assignment());
        while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue()))
            for (var record : consumer.poll(Duration.ofMillis(100))) read(phase, record);
    }

    static void replay() {
        try (var consumer = consumer(Map.of())) {
            consumer.assign(partitions(consumer));
            consumer.seekToBeginning(consumer.assignment());
            readToEnd("replay", consumer);
        }
    }

    static void readFromTime(long time) {
        try (var consumer = consumer(Map.of())) {
            consumer.assign(partitions(consumer));
            var asked = new HashMap<TopicPartition, Long>();
            consumer.assignment().forEach(partition -> asked.put(partition, time));
            consumer.offsetsForTimes(asked).forEach((partition, found) -> consumer.seek(partition, found.offset()));
            readToEnd("time", consumer);
        }
    }

    /** One member: reads, remembers what it has read, commits when it gives partitions up. */
    static class Member implements Runnable, ConsumerRebalanceListener {
        final String phase, name;
        final AtomicInteger total;
        final KafkaConsumer<String, String> consumer;
        final Map<TopicPartition, OffsetAndMetadata> processed = new HashMap<>();
        volatile int held = 0;
        final Thread thread = new Thread(this);

        Member(String phase, String assignor, String name, AtomicInteger total) {
            this.phase = phase;
            this.name = name;
            this.total = total;
            consumer = consumer(Map.of("group.id", "story-" + phase, "partition.assignment.strategy", assignor,
                "heartbeat.interval.ms", 100, "session.timeout.ms", 10_000));
            thread.start();
        }

        public void run() {
            try (consumer) {
                consumer.subscribe(List.of(topic), this);
                while (true) {
                    for (var record : consumer.poll(Duration.ofMillis(50))) {
                        read(phase, record);
                        var partition = new TopicPartition(record.topic(), record.partition());
                        processed.put(partition, new OffsetAndMetadata(record.offset() + 1));
                        total.incrementAndGet();
                    }
                    int now = consumer.assignment().size();
                    if (now != held) tell("held", phase, name, now);
                    held = now;
                }
            } catch (WakeupException asked) {
                held = 0;
            }
        }

        void leave() throws InterruptedException {
            consumer.wakeup();
            thread.join();
        }

        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}

        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            var mine = new HashMap<>(processed);
            mine.keySet().retainAll(partitions);
            if (!mine.isEmpty()) consumer.commitSync(mine);
            processed.keySet().removeAll(partitions);
        }
    }

    static void groupOfThree(String phase, String assignor) throws Exception {
        var total = new AtomicInteger();
        var members = new ArrayList<Member>();
        for (String name : List.of("a", "b", "c")) {
            members.add(new Member(phase, assignor, name, total));
            await(() -> members.stream().allMatch(member -> member.held == 6 / members.size()));
            write("none", 100);
            await(() -> total.get() == written);
        }
        members.remove(0).leave();
        await(() -> members.stream().allMatch(member -> member.held == 3));
        write("none", 100);
        await(() -> total.get() == written);
        while (!members.isEmpty()) {
            members.remove(0).leave();
            await(() -> members.stream().allMatch(member -> member.held == 6 / members.size()));
        }
        try (var consumer = consumer(Map.of("group.id", "story-" + phase))) {
            consumer.committed(new java.util.HashSet<>(partitions(consumer)))
                .forEach((partition, offset) -> tell("committed", phase, partition.partition(), offset.offset()));
        }
    }

    static void replayInsideOfGroup(String phase) {
        try (var consumer = consumer(Map.of("group.id", "story-" + phase))) {
            consumer.subscribe(List.of(topic));
            while (consumer.assignment().isEmpty()) consumer.poll(Duration.ofMillis(50));
            consumer.seekToBeginning(consumer.assignment());
            readToEnd("again", consumer);
        }
    }

    static void await(java.util.function.BooleanSupplier done) throws InterruptedException {
        for (long end = System.nanoTime() + 60_000_000_000L; !done.getAsBoolean(); Thread.sleep(5))
            if (System.nanoTime() > end) throw new IllegalStateException("waited for a minute");
    }
}
