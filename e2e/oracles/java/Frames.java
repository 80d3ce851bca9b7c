// The file that both sides of the oracle exchange: messages one after the other, each with the name of its schema
// and its version. Name length (2 bytes), name, version (2), length (4), bytes; all numbers big-endian.

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

final class Frames {
    record Frame(String name, short version, byte[] bytes) { }

    static void write(Path path, List<Frame> frames) throws IOException {
        try (DataOutputStream out = new DataOutputStream(new BufferedOutputStream(Files.newOutputStream(path)))) {
            for (Frame frame : frames) {
                out.writeUTF(frame.name());
                out.writeShort(frame.version());
                out.writeInt(frame.bytes().length);
                out.write(frame.bytes());
            }
        }
    }

    static List<Frame> read(Path path) throws IOException {
        List<Frame> frames = new ArrayList<>();
        try (DataInputStream in = new DataInputStream(new BufferedInputStream(Files.newInputStream(path)))) {
            while (true) {
                in.mark(1);
                if (in.read() < 0) {
                    return frames;
                }
                in.reset();
                String name = in.readUTF();
                short version = in.readShort();
                byte[] bytes = new byte[in.readInt()];
                in.readFully(bytes);
                frames.add(new Frame(name, version, bytes));
            }
        }
    }
}
