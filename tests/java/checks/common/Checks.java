import java.util.Objects;
import java.util.concurrent.Callable;

/** Runs checks in order, prints one line for each, and counts those that failed. */
final class Checks {
    interface Body {
        void run() throws Exception;
    }

    private final String name;
    private final String only;
    private int run;
    private int failed;

    Checks(String name, String only) {
        this.name = name;
        this.only = only;
    }

    void check(String claim, Body body) {
        if (!claim.contains(only)) {
            return;
        }
        run++;
        long started = System.nanoTime();
        try {
            body.run();
            System.out.printf("ok   %s  (%.1f s)%n", claim, (System.nanoTime() - started) / 1e9);
        } catch (Throwable error) {
            failed++;
            System.out.printf("FAIL %s%n", claim);
            error.printStackTrace(System.out);
        }
    }

    /** Prints the counts; the exit status of the program. */
    int finish() {
        System.out.printf("%s: %d of %d checks hold%n", name, run - failed, run);
        return failed == 0 ? 0 : 1;
    }

    static void that(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static void equal(Object expected, Object actual, String what) {
        that(Objects.equals(expected, actual), what + ": expected " + expected + ", got " + actual);
    }

    /** The body must fail with an exception of this class, at any depth of its causes. */
    static <E extends Throwable> E fails(Class<E> expected, Body body) {
        try {
            body.run();
        } catch (Throwable error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                if (expected.isInstance(cause)) {
                    return expected.cast(cause);
                }
            }
            throw new AssertionError("expected " + expected.getSimpleName() + ", got " + error, error);
        }
        throw new AssertionError("expected " + expected.getSimpleName() + ", got success");
    }

    static void eventually(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + 30_000_000_000L;
        while (!condition.call()) {
            that(System.nanoTime() < deadline, what + ": not within 30 s");
            Thread.sleep(50);
        }
    }
}
