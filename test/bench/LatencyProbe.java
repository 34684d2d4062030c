// Sends at a fixed rate and reads back in the same process; prints one JSON line of microseconds.
// Promises: a record's time begins when it was due, so that a stalled sender counts; the first seconds are left out.
// Does not know: which broker it talks to.

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class LatencyProbe {
    public static void main(String[] args) throws Exception {
        String bootstrap = args[0];
        String topic = args[1];
        int rate = Integer.parseInt(args[2]);
        int seconds = Integer.parseInt(args[3]);
        int warmSeconds = Integer.parseInt(args[4]);
        int size = Integer.parseInt(args[5]);
        String acks = args[6];
        int total = rate * (seconds + warmSeconds);
        int skipped = rate * warmSeconds;
        long[] micros = new long[total - skipped];
        int[] read = {0};

        Properties in = new Properties();
        in.put("bootstrap.servers", bootstrap);
        KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(in, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        List<TopicPartition> places = new ArrayList<>();
        for (PartitionInfo info : consumer.partitionsFor(topic)) {
            places.add(new TopicPartition(topic, info.partition()));
        }
        consumer.assign(places);
        consumer.seekToEnd(places);
        for (TopicPartition place : places) consumer.position(place);

        Thread reader = new Thread(() -> {
            long deadline = System.nanoTime() + (seconds + warmSeconds + 20) * 1_000_000_000L;
            int seen = 0;
            while (seen < total && System.nanoTime() < deadline) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    long now = System.nanoTime();
                    ByteBuffer value = ByteBuffer.wrap(record.value());
                    long due = value.getLong();
                    int index = value.getInt();
                    seen++;
                    if (index >= skipped) micros[read[0]++] = (now - due) / 1000;
                }
            }
            consumer.close();
        });
        reader.start();

        Properties out = new Properties();
        out.put("bootstrap.servers", bootstrap);
        out.put("acks", acks);
        out.put("linger.ms", "0");
        if (!acks.equals("all")) out.put("enable.idempotence", "false");
        byte[] filler = new byte[size];
        new Random(7).nextBytes(filler);
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(out, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.partitionsFor(topic);
            long began = System.nanoTime();
            for (int index = 0; index < total; index++) {
                long due = began + index * 1_000_000_000L / rate;
                for (long wait = due - System.nanoTime(); wait > 0; wait = due - System.nanoTime()) {
                    if (wait > 100_000) LockSupport.parkNanos(wait - 60_000);
                    else Thread.onSpinWait();
                }
                byte[] value = filler.clone();
                ByteBuffer.wrap(value).putLong(due).putInt(index);
                producer.send(new ProducerRecord<>(topic, value));
            }
            producer.flush();
        }
        reader.join();
        long[] sorted = Arrays.copyOf(micros, read[0]);
        Arrays.sort(sorted);
        System.out.printf("{\"expected\":%d,\"read\":%d,\"p50\":%d,\"p99\":%d,\"p999\":%d,\"max\":%d}%n",
                micros.length, sorted.length, at(sorted, 0.5), at(sorted, 0.99), at(sorted, 0.999), at(sorted, 1));
    }

    private static long at(long[] sorted, double part) {
        if (sorted.length == 0) return -1;
        return sorted[(int) Math.min(sorted.length - 1, Math.ceil(part * sorted.length))];
    }
}
