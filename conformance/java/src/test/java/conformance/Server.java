package conformance;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;

/** A conformance server on a free port: the binary that CONFORMANCE_SERVER names. */
final class Server implements AutoCloseable {
    private final Process process;
    final String address;

    Server() throws IOException {
        String binary = System.getenv("CONFORMANCE_SERVER");
        if (binary == null) {
            throw new IllegalStateException("CONFORMANCE_SERVER has to name the binary of conformance/server");
        }
        process = new ProcessBuilder(binary, "-addr", "127.0.0.1:0").redirectError(ProcessBuilder.Redirect.INHERIT).start();
        BufferedReader out = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        String line = out.readLine();
        if (line == null || !line.startsWith("listening on ")) {
            throw new IllegalStateException("the conformance server said " + line);
        }
        address = line.substring("listening on ".length());
    }

    String url() {
        return "http://" + address;
    }

    @Override
    public void close() throws InterruptedException {
        process.destroy();
        process.waitFor(30, TimeUnit.SECONDS);
    }
}
