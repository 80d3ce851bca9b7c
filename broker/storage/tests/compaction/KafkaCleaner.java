import java.io.File;
import java.lang.reflect.Proxy;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.Cleaner;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.LogToClean;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.SkimpyOffsetMap;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.internals.utils.Throttler;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

/**
 * Kafka's own cleaner over partition directories, each at several points in time, everything dirty every time.
 * Arguments: delete.retention.ms, then for each directory its path, the first uncleanable offset, and the times
 * separated by commas.
 */
public class KafkaCleaner {
    /** The clock at one moment, so that producers do not expire for the age of the test data. */
    static Time at(long milliseconds) {
        return (Time) Proxy.newProxyInstance(Time.class.getClassLoader(), new Class<?>[] {Time.class},
            (proxy, method, arguments) -> method.getName().equals("milliseconds")
                ? milliseconds : method.invoke(Time.SYSTEM, arguments));
    }

    public static void main(String[] args) throws Exception {
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        Throttler throttler = new Throttler(Double.MAX_VALUE, Long.MAX_VALUE, "throttle", "entries", Time.SYSTEM);
        Map<String, String> config = Map.of("cleanup.policy", "compact", "delete.retention.ms", args[0]);
        for (int i = 1; i < args.length; i += 3) {
            Time time = at(Long.parseLong(args[i + 2].split(",")[0]));
            UnifiedLog log = UnifiedLog.create(new File(args[i]), new LogConfig(config), 0L, 0L, scheduler,
                new BrokerTopicStats(), time, 300_000, new ProducerStateManagerConfig(Integer.MAX_VALUE, false),
                Integer.MAX_VALUE, new LogDirFailureChannel(1), true, Optional.<Uuid>empty());
            long end = log.logEndOffset();
            for (String now : args[i + 2].split(",")) {
                Cleaner cleaner = new Cleaner(0, new SkimpyOffsetMap(1 << 20), 1 << 16, 1 << 20, 0.9, throttler,
                    Time.SYSTEM, partition -> { });
                cleaner.doClean(new LogToClean(log, 0L, Long.parseLong(args[i + 1]), true), Long.parseLong(now));
            }
            if (log.logEndOffset() != end)
                throw new IllegalStateException("the log end moved");
            log.close();
        }
        System.exit(0);
    }
}
