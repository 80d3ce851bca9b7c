// Runs Apache's command-line tools one after the other in one JVM, because each start of a JVM costs seconds.
//
// One line of standard input is one run: the class and its arguments, separated by tabs. The answer is a line
// "EXIT_CODE LENGTH" and then so many bytes: what the tool printed to standard output and error.
// Run: java -cp "$LOGSPINE_KAFKA_LIBS/*" Toolbox.java
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.util.Arrays;
import org.apache.kafka.common.utils.Exit;

public class Toolbox {
    /** Ends a tool where it asked for the end of its process. */
    static class Exited extends Error {}

    static final ByteArrayOutputStream printed = new ByteArrayOutputStream();
    /** The first code counts, and what was printed until then: a process would have ended there. */
    static Integer exitCode;
    static int printedAtExit;

    public static void main(String[] args) throws Exception {
        var answers = new PrintStream(System.out, false);
        Exit.setExitProcedure((code, message) -> exit(code));
        Exit.setHaltProcedure((code, message) -> exit(code));
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null; ) {
            String[] words = line.split("\t");
            printed.reset();
            exitCode = null;
            var capture = new PrintStream(printed, true);
            System.setOut(capture);
            System.setErr(capture);
            run(words[0], Arrays.copyOfRange(words, 1, words.length));
            answers.println(exitCode + " " + printedAtExit);
            answers.write(printed.toByteArray(), 0, printedAtExit);
            answers.flush();
        }
    }

    static void exit(int code) {
        if (exitCode == null) {
            exitCode = code;
            printedAtExit = printed.size();
        }
        throw new Exited();
    }

    static void run(String tool, String[] arguments) throws Exception {
        try {
            Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) arguments);
        } catch (InvocationTargetException failed) {
            if (exitCode == null) {
                failed.getCause().printStackTrace();
                exitCode = 1;
                printedAtExit = printed.size();
            }
        }
        if (exitCode == null) {
            exitCode = 0;
            printedAtExit = printed.size();
        }
    }
}
