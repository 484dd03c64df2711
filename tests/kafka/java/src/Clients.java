import static java.nio.charset.StandardCharsets.UTF_8;

import java.lang.reflect.Method;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Scenarios of the Java client against any Kafka server: {@code Clients BOOTSTRAP SCENARIO}, or {@code all} of them.
 *
 * <p>A scenario makes topics of its own, and ends with a line {@code ok SCENARIO} or an exception.
 */
public final class Clients {
    private static final List<String> SCENARIOS = List.of("roundTrip", "idempotent", "transactions", "offsetsInTransactions",
        "fencing", "group", "seekByTime", "admin");
    private static final long PATIENCE_MS = 120_000;
    private static String bootstrap;
    private static Admin admin;

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        admin = Admin.create(settings());
        try {
            for (String name : arguments[1].equals("all") ? SCENARIOS : List.of(arguments[1])) {
                long begun = System.nanoTime();
                Method scenario = Clients.class.getDeclaredMethod(name);
                scenario.invoke(null);
                System.out.printf("ok %s (%.1f s)%n", name, (System.nanoTime() - begun) / 1e9);
            }
        } finally {
            admin.close();
        }
    }

    // Scenarios.

    static void roundTrip() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = create("codec-" + codec, 1);
            long stamp = 1_700_000_000_123L;
            List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
            sent.add(new ProducerRecord<>(topic, 0, stamp, null, bytes("no key")));
            // Headers may repeat, and may be null.
            sent.add(new ProducerRecord<>(topic, 0, stamp + 1, bytes("key"), bytes("value"),
                List.of(new RecordHeader("a", bytes("1")), new RecordHeader("a", bytes("2")), new RecordHeader("null", null),
                    new RecordHeader("", bytes("")))));
            sent.add(new ProducerRecord<>(topic, 0, stamp + 2, bytes("tombstone"), (byte[]) null));
            sent.add(new ProducerRecord<>(topic, 0, stamp + 3, bytes(""), bytes("")));
            for (int i = 0; i < 1000; i++) {
                sent.add(new ProducerRecord<>(topic, 0, stamp + 4 + i, bytes("k" + i), bytes("value ".repeat(20) + i)));
            }
            produce(sent, Map.of("compression.type", codec, "linger.ms", 20));
            List<ConsumerRecord<byte[], byte[]>> found = read(topic, 0, Map.of());
            check(found.size() == sent.size(), codec + ": " + found.size());
            for (int i = 0; i < sent.size(); i++) {
                ProducerRecord<byte[], byte[]> a = sent.get(i);
                ConsumerRecord<byte[], byte[]> b = found.get(i);
                check(b.offset() == i && b.timestamp() == a.timestamp(), codec + " " + b);
                check(Arrays.equals(a.key(), b.key()) && Arrays.equals(a.value(), b.value()), codec + " " + b);
                check(headers(a.headers().toArray()).equals(headers(b.headers().toArray())), codec + " " + b);
            }
        }
    }

    static void idempotent() throws Exception {
        String topic = create("idempotent", 3);
        List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
        for (int i = 0; i < 10_000; i++) {
            sent.add(new ProducerRecord<>(topic, i % 3, null, bytes(String.valueOf(i))));
        }
        produce(sent, Map.of("enable.idempotence", true, "acks", "all", "batch.size", 500,
            "max.in.flight.requests.per.connection", 5));
        for (int partition = 0; partition < 3; partition++) {
            int first = partition;
            List<String> expected = IntStream.range(0, 10_000).filter(i -> i % 3 == first).mapToObj(String::valueOf).toList();
            check(values(read(topic, partition, Map.of())).equals(expected), "order of partition " + partition);
        }
    }

    static void transactions() throws Exception {
        String one = create("tx-one", 2), two = create("tx-two", 1);
        try (Producer<byte[], byte[]> producer = transactional(fresh("tx"))) {
            for (int round = 0; round < 6; round++) {
                producer.beginTransaction();
                for (int i = 0; i < 50; i++) {
                    producer.send(new ProducerRecord<>(one, i % 2, null, bytes(round + " " + i)));
                    producer.send(new ProducerRecord<>(two, bytes(round + " " + i)));
                }
                if (round % 2 == 0) {
                    producer.commitTransaction();
                } else {
                    producer.flush(); // so that the records reach the server before they are taken back
                    producer.abortTransaction();
                }
            }
            List<String> expected = new ArrayList<>();
            for (int round = 0; round < 6; round += 2) {
                for (int i = 0; i < 50; i++) {
                    expected.add(round + " " + i);
                }
            }
            check(values(read(two, 0, COMMITTED)).equals(expected), "the second topic");
            List<String> both = values(read(one, 0, COMMITTED));
            both.addAll(values(read(one, 1, COMMITTED)));
            Collections.sort(both);
            Collections.sort(expected);
            check(both.equals(expected), "the first topic");
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(two, bytes("open"))).get();
            check(read(two, 0, COMMITTED).size() == 150, "an open transaction is not seen");
            producer.commitTransaction();
            check(read(two, 0, COMMITTED).size() == 151, "it is seen when it is committed");
        }
    }

    static void offsetsInTransactions() throws Exception {
        String source = create("ctp-in", 1), target = create("ctp-out", 1), group = fresh("ctp");
        List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            sent.add(new ProducerRecord<>(source, bytes(String.valueOf(i))));
        }
        produce(sent, Map.of());
        TopicPartition place = new TopicPartition(source, 0);
        int transaction = 0;
        long committed = 0;
        try (Producer<byte[], byte[]> producer = transactional(fresh("ctp-tx"))) {
            while (committed < 100) {
                try (Consumer<byte[], byte[]> consumer = consumer(Map.of("group.id", group, "max.poll.records", 10,
                    "isolation.level", "read_committed", "auto.offset.reset", "earliest"))) {
                    consumer.subscribe(List.of(source));
                    boolean aborted = false;
                    while (!aborted && committed < 100) {
                        ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(500));
                        if (records.isEmpty()) {
                            continue;
                        }
                        producer.beginTransaction();
                        records.forEach(record -> producer.send(new ProducerRecord<>(target, record.value())));
                        producer.sendOffsetsToTransaction(Map.of(place, new OffsetAndMetadata(consumer.position(place))),
                            consumer.groupMetadata());
                        if (++transaction % 3 == 0) {
                            producer.abortTransaction();
                            aborted = true;
                        } else {
                            producer.commitTransaction();
                            OffsetAndMetadata offset = consumer.committed(Set.of(place)).get(place);
                            check(offset.offset() == consumer.position(place), "committed " + offset);
                            committed = offset.offset();
                        }
                    }
                }
            }
        }
        List<String> expected = IntStream.range(0, 100).mapToObj(String::valueOf).toList();
        check(values(read(target, 0, COMMITTED)).equals(expected), "each once");
    }

    /**
     * The server goes and comes back while transactions are open. They may be lost, but then their producers can abort them
     * and go on. Whoever restarts the server makes the topic "restarted" then, so this is not one of {@code all}.
     */
    static void overRestart() throws Exception {
        List<String> topics = List.of(create("restart", 2), create("restart", 2));
        List<Producer<byte[], byte[]>> producers = List.of(transactional(fresh("restart-tx")), transactional(fresh("restart-tx")));
        for (int i = 0; i < 2; i++) {
            producers.get(i).beginTransaction();
            producers.get(i).send(new ProducerRecord<>(topics.get(i), 0, null, bytes("lost"))).get();
        }
        System.out.println("open");
        until("the server is back", () -> {
            try {
                return admin.listTopics().names().get().contains("restarted");
            } catch (ExecutionException e) {
                return false;
            }
        });
        // One commits what it has, the other writes to another partition first.
        producers.get(1).send(new ProducerRecord<>(topics.get(1), 1, null, bytes("lost")));
        for (int i = 0; i < 2; i++) {
            Producer<byte[], byte[]> producer = producers.get(i);
            List<String> expected = new ArrayList<>();
            try {
                producer.commitTransaction();
                expected.add("lost");
            } catch (KafkaException e) {
                producer.abortTransaction();
            }
            for (int round = 0; round < 3; round++) {
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(topics.get(i), 0, null, bytes("new " + round)));
                producer.commitTransaction();
                expected.add("new " + round);
            }
            producer.close();
            List<String> found = values(read(topics.get(i), 0, COMMITTED));
            check(found.equals(expected), "found " + found);
        }
    }

    static void fencing() throws Exception {
        String topic = create("fence", 1), id = fresh("fence");
        try (Producer<byte[], byte[]> zombie = transactional(id)) {
            zombie.beginTransaction();
            zombie.send(new ProducerRecord<>(topic, bytes("zombie"))).get();
            try (Producer<byte[], byte[]> heir = transactional(id)) {
                heir.beginTransaction();
                heir.send(new ProducerRecord<>(topic, bytes("heir")));
                heir.commitTransaction();
            }
            // Which of the two depends on which request meets the fence.
            try {
                zombie.send(new ProducerRecord<>(topic, bytes("again")));
                zombie.commitTransaction();
                throw new AssertionError("the zombie could commit");
            } catch (ProducerFencedException | InvalidProducerEpochException expected) {
                // As it must be.
            } catch (KafkaException error) {
                check(error.getCause() instanceof ProducerFencedException || error.getCause() instanceof InvalidProducerEpochException,
                    "fenced, not " + error);
            }
        }
        check(values(read(topic, 0, COMMITTED)).equals(List.of("heir")), "only the heir's");
    }

    /** Three members share six partitions; one ends without leaving. */
    static void group() throws Exception {
        String topic = create("group", 6), group = fresh("group");
        Map<String, Integer> seen = new ConcurrentHashMap<>();
        List<Member> members = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            members.add(new Member(topic, group, seen));
        }
        try {
            until("two partitions each", () -> members.stream().allMatch(member -> member.partitions.size() == 2));
            write(topic, 0, 300);
            until("300 records", () -> seen.size() == 300);
            members.get(0).vanish();
            write(topic, 300, 600);
            until("three partitions each", () -> members.get(1).partitions.size() == 3 && members.get(2).partitions.size() == 3);
            until("600 records", () -> seen.size() == 600);
            until("all are committed", () -> committed(group) == 600);
            check(seen.values().stream().allMatch(times -> times == 1), "each once");
        } finally {
            for (Member member : members) {
                member.vanish();
            }
        }
        members.forEach(Member::close);
    }

    static void seekByTime() throws Exception {
        String topic = create("time", 1);
        long base = 1_700_000_000_000L;
        for (int batch = 0; batch < 10; batch++) {
            List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
            for (int i = batch * 50; i < batch * 50 + 50; i++) {
                sent.add(new ProducerRecord<>(topic, 0, base + i * 1000L, null, bytes(String.valueOf(i))));
            }
            produce(sent, Map.of());
        }
        TopicPartition place = new TopicPartition(topic, 0);
        try (Consumer<byte[], byte[]> consumer = consumer(Map.of())) {
            for (long[] pair : new long[][] {{-5, 0}, {0, 0}, {1, 1}, {250_000, 250}, {249_001, 250}, {499_000, 499}}) {
                OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(place, base + pair[0])).get(place);
                check(found.offset() == pair[1] && found.timestamp() == base + pair[1] * 1000, pair[0] + ": " + found);
            }
            check(consumer.offsetsForTimes(Map.of(place, base + 499_001)).get(place) == null, "nothing behind the end");
            check(consumer.beginningOffsets(Set.of(place)).get(place) == 0, "beginning");
            check(consumer.endOffsets(Set.of(place)).get(place) == 500, "end");
        }
        ListOffsetsResult.ListOffsetsResultInfo newest = admin.listOffsets(Map.of(place, OffsetSpec.maxTimestamp())).all().get().get(place);
        check(newest.offset() == 499 && newest.timestamp() == base + 499_000, "newest " + newest);
    }

    static void admin() throws Exception {
        String topic = create("admin", 2);
        fails(TopicExistsException.class, admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all());
        fails(InvalidTopicException.class, admin.createTopics(List.of(new NewTopic("not a name!", 1, (short) 1))).all());
        fails(InvalidReplicationFactorException.class, admin.createTopics(List.of(new NewTopic(fresh("many"), 1, (short) 3))).all());
        check(admin.listTopics().names().get().contains(topic), "it is listed");
        TopicDescription described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
        check(described.partitions().size() == 2 && described.partitions().get(0).leader() != null, described.toString());
        DescribeClusterResult cluster = admin.describeCluster();
        check(cluster.nodes().get().size() == 1 && cluster.clusterId().get() != null, "one node");

        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        check(config(resource, "cleanup.policy").equals("delete"), "default");
        admin.incrementalAlterConfigs(Map.of(resource, List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", "12345678"), AlterConfigOp.OpType.SET),
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.SET)))).all().get();
        until("the new settings", () -> config(resource, "retention.ms").equals("12345678") && config(resource, "cleanup.policy").equals("compact"));
        fails(InvalidConfigurationException.class, admin.incrementalAlterConfigs(Map.of(resource, List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", "long"), AlterConfigOp.OpType.SET)))).all());
        admin.incrementalAlterConfigs(Map.of(resource, List.of(
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "delete"), AlterConfigOp.OpType.SET)))).all().get();

        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get();
        until("four partitions", () -> admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size() == 4);
        write(topic, 0, 100);
        TopicPartition place = new TopicPartition(topic, 0);
        long end = admin.listOffsets(Map.of(place, OffsetSpec.latest())).all().get().get(place).offset();
        long left = admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(end / 2))).lowWatermarks().get(place).get().lowWatermark();
        check(left == end / 2, "low watermark " + left);
        check(read(topic, 0, Map.of()).size() == end - end / 2, "the rest");
        check(admin.listOffsets(Map.of(place, OffsetSpec.earliest())).all().get().get(place).offset() == end / 2, "earliest");

        String group = fresh("admin-group");
        try (Consumer<byte[], byte[]> consumer = consumer(Map.of("group.id", group))) {
            consumer.subscribe(List.of(topic));
            until("an assignment", () -> { consumer.poll(Duration.ofMillis(100)); return !consumer.assignment().isEmpty(); });
            consumer.commitSync(Map.of(place, new OffsetAndMetadata(end, "metadata")));
            check(admin.listGroups().all().get().stream().anyMatch(listed -> listed.groupId().equals(group)), "it is listed");
            ConsumerGroupDescription found = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            check(found.members().size() == 1 && found.members().iterator().next().assignment().topicPartitions().size() == 4, found.toString());
            fails(GroupNotEmptyException.class, admin.deleteConsumerGroups(List.of(group)).all());
        }
        OffsetAndMetadata offset = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(place);
        check(offset.offset() == end && offset.metadata().equals("metadata"), "offset " + offset);
        admin.deleteConsumerGroupOffsets(group, Set.of(place)).all().get();
        check(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(place) == null, "its offset is deleted");
        admin.deleteConsumerGroups(List.of(group)).all().get();
        admin.deleteTopics(List.of(topic)).all().get();
        until("it is gone", () -> !admin.listTopics().names().get().contains(topic));
        fails(UnknownTopicOrPartitionException.class, admin.deleteTopics(List.of(topic)).all());
    }

    // What they are made of.

    private static final Map<String, Object> COMMITTED = Map.of("isolation.level", "read_committed");

    /** A consumer with a thread that commits after each poll, and counts what it committed. */
    private static final class Member extends Thread {
        private final Map<String, Integer> seen;
        private final Consumer<byte[], byte[]> consumer;
        private volatile boolean running = true;
        volatile Set<TopicPartition> partitions = Set.of();

        Member(String topic, String group, Map<String, Integer> seen) {
            this.seen = seen;
            consumer = consumer(Map.of("group.id", group, "session.timeout.ms", 6000, "heartbeat.interval.ms", 500,
                "auto.offset.reset", "earliest", "max.poll.records", 20));
            consumer.subscribe(List.of(topic));
            start();
        }

        @Override
        public void run() {
            while (running) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(100));
                partitions = Set.copyOf(consumer.assignment());
                try {
                    consumer.commitSync();
                } catch (RebalanceInProgressException | CommitFailedException error) {
                    continue; // what was not committed comes again to another
                }
                records.forEach(record -> seen.merge(text(record.value()), 1, Integer::sum));
            }
        }

        /** Stops its work without leaving the group, as far as it is in one process; its heartbeats stop too. */
        void vanish() throws Exception {
            running = false;
            join();
            consumer.close(CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.REMAIN_IN_GROUP));
        }

        void close() {
            consumer.close();
        }
    }

    private static long committed(String group) throws Exception {
        return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().values().stream()
            .mapToLong(OffsetAndMetadata::offset).sum();
    }

    private static Properties settings() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        return settings;
    }

    private static String fresh(String name) {
        return name + "-" + UUID.randomUUID().toString().substring(0, 8);
    }

    private static String create(String name, int partitions) throws Exception {
        String topic = fresh(name);
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
        return topic;
    }

    private static Producer<byte[], byte[]> producer(Map<String, Object> changes) {
        Properties settings = settings();
        settings.putAll(changes);
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static Producer<byte[], byte[]> transactional(String id) {
        Producer<byte[], byte[]> producer = producer(Map.of("transactional.id", id));
        producer.initTransactions();
        return producer;
    }

    private static Consumer<byte[], byte[]> consumer(Map<String, Object> changes) {
        Properties settings = settings();
        settings.put("enable.auto.commit", false);
        settings.putAll(changes);
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static void produce(List<ProducerRecord<byte[], byte[]>> records, Map<String, Object> changes) throws Exception {
        List<Future<RecordMetadata>> answers = new ArrayList<>();
        try (Producer<byte[], byte[]> producer = producer(changes)) {
            records.forEach(record -> answers.add(producer.send(record)));
        }
        for (Future<RecordMetadata> answer : answers) {
            answer.get();
        }
    }

    private static void write(String topic, int from, int to) throws Exception {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = from; i < to; i++) {
            records.add(new ProducerRecord<>(topic, bytes("k" + i), bytes(String.valueOf(i))));
        }
        produce(records, Map.of());
    }

    /** All of a partition. */
    private static List<ConsumerRecord<byte[], byte[]>> read(String topic, int partition, Map<String, Object> changes) {
        TopicPartition place = new TopicPartition(topic, partition);
        List<ConsumerRecord<byte[], byte[]>> found = new ArrayList<>();
        try (Consumer<byte[], byte[]> consumer = consumer(changes)) {
            consumer.assign(List.of(place));
            consumer.seekToBeginning(List.of(place));
            long end = consumer.endOffsets(List.of(place)).get(place);
            long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE_MS);
            while (consumer.position(place) < end) {
                check(System.nanoTime() < deadline, "the end of " + topic + " does not come");
                consumer.poll(Duration.ofMillis(200)).forEach(found::add);
            }
        }
        return found;
    }

    private static String config(ConfigResource resource, String name) throws Exception {
        return admin.describeConfigs(List.of(resource)).all().get().get(resource).get(name).value();
    }

    private static List<String> values(List<ConsumerRecord<byte[], byte[]>> records) {
        return records.stream().map(record -> text(record.value())).collect(Collectors.toCollection(ArrayList::new));
    }

    private static List<String> headers(Header[] headers) {
        return Arrays.stream(headers).map(header -> header.key() + "=" + Arrays.toString(header.value())).toList();
    }

    private static byte[] bytes(String text) {
        return text.getBytes(UTF_8);
    }

    private static String text(byte[] bytes) {
        return new String(bytes, UTF_8);
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static void fails(Class<? extends Exception> expected, Future<?> answer) throws Exception {
        try {
            answer.get();
        } catch (ExecutionException error) {
            check(expected.isInstance(error.getCause()), "expected " + expected + ", not " + error.getCause());
            return;
        }
        throw new AssertionError("expected " + expected);
    }

    private static void until(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE_MS);
        while (!condition.call()) {
            check(System.nanoTime() < deadline, "in vain: " + what);
            Thread.sleep(50);
        }
    }
}
