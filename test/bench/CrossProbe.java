// End-to-end latency from one protocol to the other at a fixed rate:
// CrossProbe KAFKA_ADDRESS AMQP_HOST AMQP_PORT NAME FROM TO RATE SECONDS WARM_SECONDS BYTES, FROM and TO `kafka` or `amqp`.
// Promises: open loop: a message is timed from the moment it was due; no client lingers. Topic and queue are there.
// Does not know: which broker it talks to.

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.MessageProperties;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class CrossProbe {
    private static int warm;
    private static long[] nanos;
    private static CountDownLatch missing;

    /** Called by one thread. */
    private static void received(byte[] bytes) {
        long now = System.nanoTime();
        ByteBuffer body = ByteBuffer.wrap(bytes);
        int number = body.getInt();
        if (number >= warm) nanos[number - warm] = now - body.getLong();
        missing.countDown();
    }

    public static void main(String[] args) throws Exception {
        String kafka = args[0];
        String name = args[3];
        int rate = Integer.parseInt(args[6]);
        warm = rate * Integer.parseInt(args[8]);
        int total = warm + rate * Integer.parseInt(args[7]);
        int bytes = Integer.parseInt(args[9]);
        nanos = new long[total - warm];
        missing = new CountDownLatch(total);
        AtomicBoolean over = new AtomicBoolean();
        ConnectionFactory factory = new ConnectionFactory();
        factory.setHost(args[1]);
        factory.setPort(Integer.parseInt(args[2]));
        Connection in = null;
        Thread reader = null;
        if (args[5].equals("amqp")) {
            in = factory.newConnection();
            Channel consumer = in.createChannel();
            consumer.basicQos(250);
            consumer.basicConsume(name, false, (tag, delivery) -> {
                received(delivery.getBody());
                consumer.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
            }, tag -> { });
        } else {
            CountDownLatch placed = new CountDownLatch(1);
            reader = new Thread(() -> poll(kafka, name, over, placed));
            reader.start();
            placed.await(30, TimeUnit.SECONDS);
        }
        if (args[4].equals("amqp")) {
            try (Connection out = factory.newConnection()) {
                Channel publisher = out.createChannel();
                publisher.confirmSelect();
                send(rate, total, bytes, body ->
                    publisher.basicPublish("", name, MessageProperties.MINIMAL_PERSISTENT_BASIC, body));
                publisher.waitForConfirms(30_000);
            }
        } else {
            Map<String, Object> settings = Map.of("bootstrap.servers", kafka, "acks", "all", "linger.ms", "0");
            try (KafkaProducer<byte[], byte[]> producer =
                    new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
                producer.partitionsFor(name);
                send(rate, total, bytes, body -> producer.send(new ProducerRecord<>(name, body)));
                producer.flush();
            }
        }
        missing.await(30, TimeUnit.SECONDS);
        over.set(true);
        if (in != null) in.close();
        if (reader != null) reader.join();
        long read = total - missing.getCount();
        Arrays.sort(nanos);
        System.out.printf("{\"expected\":%d,\"read\":%d,\"p50\":%d,\"p99\":%d,\"p999\":%d}%n", total, read,
            at(nanos, 0.5), at(nanos, 0.99), at(nanos, 0.999));
        System.exit(0);
    }

    private static void poll(String kafka, String name, AtomicBoolean over, CountDownLatch placed) {
        Map<String, Object> settings = Map.of("bootstrap.servers", kafka);
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            TopicPartition place = new TopicPartition(name, 0);
            consumer.assign(List.of(place));
            consumer.seekToEnd(List.of(place));
            consumer.position(place);
            placed.countDown();
            while (!over.get()) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    received(record.value());
                }
            }
        }
    }

    private interface Sender {
        void send(byte[] body) throws Exception;
    }

    private static void send(int rate, int total, int bytes, Sender sender) throws Exception {
        long began = System.nanoTime();
        for (int number = 0; number < total; number++) {
            long due = began + (long) (number * 1e9 / rate);
            for (long wait = due - System.nanoTime(); wait > 0; wait = due - System.nanoTime()) {
                LockSupport.parkNanos(wait);
            }
            byte[] body = new byte[bytes];
            ByteBuffer.wrap(body).putInt(number).putLong(due);
            sender.send(body);
        }
    }

    private static long at(long[] sorted, double part) {
        return sorted[(int) (part * (sorted.length - 1))] / 1000;
    }
}
