// Fills a message of Kafka's generated classes with random values, by reflection, for one version.
//
// Which fields a version has is not read from the schemas but asked of Kafka's code: a value that makes the
// message impossible to write in that version is taken back. So the oracle shares no idea of the schema with the
// codec that it judges.

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.util.Collection;
import java.util.Random;
import java.util.Set;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.MemoryRecords;

final class RandomMessage {
    /** Links of Kafka's own collections, and what must not be invented. */
    private static final Set<String> NOT_DATA = Set.of("_unknownTaggedFields", "next", "prev");

    static void fill(Message message, short version, Random random) throws Exception {
        for (Field field : message.getClass().getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers()) || NOT_DATA.contains(field.getName()) || random.nextInt(7) == 0) {
                continue;
            }
            field.setAccessible(true);
            Object before = field.get(message);
            set(message, field, value(field.getType(), field.getGenericType(), version, random));
            if (!canBeWritten(message, version)) {
                field.set(message, before);
            }
        }
    }

    private static boolean canBeWritten(Message message, short version) {
        try {
            CodecOracle.bytes(message, version);
            return true;
        } catch (RuntimeException notInThisVersion) {
            return false;
        }
    }

    /** By the setter, which knows the range of unsigned numbers; an int outside of it is cut to it. */
    private static void set(Message message, Field field, Object value) throws Exception {
        String name = field.getName();
        Method setter = message.getClass().getMethod(
            "set" + Character.toUpperCase(name.charAt(0)) + name.substring(1), field.getType());
        try {
            setter.invoke(message, value);
        } catch (java.lang.reflect.InvocationTargetException outOfRange) {
            Object cut = value instanceof Integer i ? (Object) (i & 0xffff) : (Object) (((Long) value) & 0xffffffffL);
            setter.invoke(message, cut);
        }
    }

    private static Object value(Class<?> type, Type generic, short version, Random random) throws Exception {
        // No field of type uuid is nullable, and Kafka's collections hash their elements' ids.
        if (!type.isPrimitive() && type != Uuid.class && random.nextInt(10) == 0) {
            return null;
        }
        if (Collection.class.isAssignableFrom(type)) {
            return collection(type, generic, version, random);
        }
        return single(type, version, random);
    }

    private static Object single(Class<?> type, short version, Random random) throws Exception {
        if (type == boolean.class) {
            return random.nextBoolean();
        } else if (type == byte.class || type == Byte.class) {
            return (byte) number(random);
        } else if (type == short.class || type == Short.class) {
            return (short) number(random);
        } else if (type == int.class || type == Integer.class) {
            return (int) number(random);
        } else if (type == long.class || type == Long.class) {
            return number(random);
        } else if (type == double.class) {
            return random.nextGaussian() * 1e9;
        } else if (type == String.class) {
            return text(random);
        } else if (type == Uuid.class) {
            return new Uuid(random.nextLong(), random.nextLong());
        } else if (type == byte[].class) {
            return bytes(random);
        } else if (type == ByteBuffer.class) {
            return ByteBuffer.wrap(bytes(random));
        } else if (BaseRecords.class.isAssignableFrom(type)) {
            return MemoryRecords.readableRecords(ByteBuffer.wrap(bytes(random)));
        }
        Message inner = (Message) type.getDeclaredConstructor().newInstance();
        fill(inner, version, random);
        return inner;
    }

    @SuppressWarnings("unchecked")
    private static Object collection(Class<?> type, Type generic, short version, Random random) throws Exception {
        Collection<Object> elements;
        Type element;
        if (generic instanceof ParameterizedType list) {
            elements = new java.util.ArrayList<>();
            element = list.getActualTypeArguments()[0];
        } else {
            elements = (Collection<Object>) type.getDeclaredConstructor().newInstance();
            element = ((ParameterizedType) type.getGenericSuperclass()).getActualTypeArguments()[0];
        }
        boolean isStruct = Message.class.isAssignableFrom((Class<?>) element);
        // Now and then so many that a compact length takes two bytes.
        int count = !isStruct && random.nextInt(20) == 0 ? 127 + random.nextInt(10) : random.nextInt(4);
        for (int i = 0; i < count; i++) {
            elements.add(single((Class<?>) element, version, random));
        }
        return elements;
    }

    /** Small, negative, and at the edges of every width. */
    private static long number(Random random) {
        return switch (random.nextInt(4)) {
            case 0 -> random.nextInt(200) - 100;
            case 1 -> 1L << random.nextInt(64);
            case 2 -> -1L >>> random.nextInt(64);
            default -> random.nextLong();
        };
    }

    private static String text(Random random) {
        int length = random.nextInt(15) == 0 ? 120 + random.nextInt(20) : random.nextInt(12);
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < length; i++) {
            int letter = random.nextInt(20) == 0 ? 0x80 + random.nextInt(0xd000) : ' ' + random.nextInt(95);
            text.appendCodePoint(random.nextInt(50) == 0 ? 0x1f600 + random.nextInt(60) : letter);
        }
        return text.toString();
    }

    private static byte[] bytes(Random random) {
        byte[] bytes = new byte[random.nextInt(15) == 0 ? 200 : random.nextInt(20)];
        random.nextBytes(bytes);
        return bytes;
    }
}
