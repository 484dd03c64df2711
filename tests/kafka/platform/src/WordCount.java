import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * Kafka Streams' word count, with a repartition topic and a state store with a changelog topic, against any Kafka server:
 * {@code WordCount BOOTSTRAP at_least_once|exactly_once_v2 STATE_DIRECTORY}.
 *
 * <p>It counts, stops, loses its local state, and goes on: the store must come back from its changelog.
 */
public final class WordCount {
    private static final long PATIENCE_MS = 120_000;
    private static final String[] LINES = {"all streams lead to the pond", "the mill turns", "streams turn the mill"};

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0], guarantee = arguments[1];
        String id = "word-count-" + UUID.randomUUID().toString().substring(0, 8);
        String input = id + "-lines", output = id + "-counts";
        Properties common = new Properties();
        common.put("bootstrap.servers", bootstrap);
        try (Admin admin = Admin.create(common)) {
            admin.createTopics(List.of(new NewTopic(input, 3, (short) 1),
                new NewTopic(output, 2, (short) 1).configs(Map.of("cleanup.policy", "compact")))).all().get();
            Map<String, Long> expected = new HashMap<>();
            for (int run = 0; run < 2; run++) {
                Properties settings = new Properties();
                settings.put(StreamsConfig.APPLICATION_ID_CONFIG, id);
                settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
                settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
                settings.put(StreamsConfig.STATE_DIR_CONFIG, Path.of(arguments[2], "run-" + run).toString());
                settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
                settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
                settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
                settings.put("consumer.auto.offset.reset", "earliest");
                settings.put("consumer.session.timeout.ms", 6000);
                settings.put("consumer.heartbeat.interval.ms", 1000);
                try (KafkaStreams streams = new KafkaStreams(topology(input, output), settings)) {
                    streams.setUncaughtExceptionHandler(problem -> {
                        problem.printStackTrace();
                        System.exit(1);
                        return null;
                    });
                    streams.start();
                    write(common, input, run == 0 ? 500 : 300, expected);
                    until(() -> counts(common, output, guarantee).equals(expected),
                        () -> "expected " + expected + ", found " + counts(common, output, guarantee));
                    streams.close(Duration.ofSeconds(30));
                }
            }
            if (!admin.listTopics().names().get().contains(id + "-counts-by-word-changelog")) {
                throw new AssertionError("no changelog topic");
            }
            System.out.println("ok word count, " + guarantee + ": " + expected);
        }
    }

    private static Topology topology(String input, String output) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(input, org.apache.kafka.streams.kstream.Consumed.with(Serdes.String(), Serdes.String()))
            .flatMapValues(line -> Arrays.asList(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with("by-word", Serdes.String(), Serdes.String()))
            .count(Materialized.<String, Long, org.apache.kafka.streams.state.KeyValueStore<org.apache.kafka.common.utils.Bytes, byte[]>>as("counts-by-word")
                .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
            .toStream()
            .to(output, Produced.with(Serdes.String(), Serdes.Long()));
        return builder.build();
    }

    private static void write(Properties common, String topic, int lines, Map<String, Long> expected) throws Exception {
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(common, new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < lines; i++) {
                String line = LINES[i % LINES.length];
                producer.send(new ProducerRecord<>(topic, String.valueOf(i), line));
                for (String word : line.split(" ")) {
                    expected.merge(word, 1L, Long::sum);
                }
            }
            producer.flush();
        }
    }

    /** The last count of each word. */
    private static Map<String, Long> counts(Properties common, String topic, String guarantee) {
        Properties settings = new Properties();
        settings.putAll(common);
        settings.put("isolation.level", guarantee.equals("exactly_once_v2") ? "read_committed" : "read_uncommitted");
        Map<String, Long> counts = new HashMap<>();
        try (KafkaConsumer<String, Long> consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new LongDeserializer())) {
            List<TopicPartition> partitions = List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                consumer.poll(Duration.ofMillis(100)).forEach(record -> counts.put(record.key(), record.value()));
            }
        }
        return counts;
    }

    private static void until(BooleanSupplier condition, java.util.function.Supplier<String> what) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE_MS);
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError(what.get());
            }
            Thread.sleep(100);
        }
    }
}
