// End-to-end latency over AMQP at a fixed rate: AmqpProbe HOST PORT QUEUE TYPE RATE SECONDS WARM_SECONDS BYTES.
// Promises: open loop: a message is timed from the moment it was due, so that a stall is felt by all it delayed.
// Does not know: which broker it talks to.

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.MessageProperties;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

public class AmqpProbe {
    public static void main(String[] args) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setHost(args[0]);
        factory.setPort(Integer.parseInt(args[1]));
        String queue = args[2];
        String type = args[3];
        int rate = Integer.parseInt(args[4]);
        int warm = rate * Integer.parseInt(args[6]);
        int total = warm + rate * Integer.parseInt(args[5]);
        int bytes = Integer.parseInt(args[7]);
        long[] nanos = new long[total - warm];
        AtomicInteger read = new AtomicInteger();
        CountDownLatch done = new CountDownLatch(total);
        try (Connection out = factory.newConnection(); Connection in = factory.newConnection()) {
            Channel publisher = out.createChannel();
            publisher.queueDeclare(queue, true, false, false, Map.of("x-queue-type", type));
            publisher.confirmSelect();
            Channel consumer = in.createChannel();
            consumer.basicQos(250);
            consumer.basicConsume(queue, false, (tag, delivery) -> {
                long now = System.nanoTime();
                ByteBuffer body = ByteBuffer.wrap(delivery.getBody());
                int number = body.getInt();
                if (number >= warm) nanos[number - warm] = now - body.getLong();
                read.incrementAndGet();
                consumer.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
                done.countDown();
            }, tag -> { });
            AMQP.BasicProperties persistent = MessageProperties.MINIMAL_PERSISTENT_BASIC;
            long began = System.nanoTime();
            for (int number = 0; number < total; number++) {
                long due = began + (long) (number * 1e9 / rate);
                for (long wait = due - System.nanoTime(); wait > 0; wait = due - System.nanoTime()) {
                    LockSupport.parkNanos(wait);
                }
                byte[] body = new byte[bytes];
                ByteBuffer.wrap(body).putInt(number).putLong(due);
                publisher.basicPublish("", queue, persistent, body);
            }
            publisher.waitForConfirms(30_000);
            done.await(30, TimeUnit.SECONDS);
            publisher.queueDelete(queue);
        }
        Arrays.sort(nanos);
        System.out.printf("{\"expected\":%d,\"read\":%d,\"p50\":%d,\"p99\":%d,\"p999\":%d}%n", total, read.get(),
            at(nanos, 0.5), at(nanos, 0.99), at(nanos, 0.999));
    }

    private static long at(long[] sorted, double part) {
        return sorted[(int) (part * (sorted.length - 1))] / 1000;
    }
}
