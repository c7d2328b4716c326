package conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.microsoft.signalr.HubConnection;
import com.microsoft.signalr.HubConnectionBuilder;
import com.microsoft.signalr.HubConnectionState;
import com.microsoft.signalr.TransportEnum;
import io.reactivex.rxjava3.core.Single;
import io.reactivex.rxjava3.subjects.ReplaySubject;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The official Java client against the conformance server, over its two
 * transports. Its JSON goes out in binary frames. It has no reconnect of its
 * own: an application starts the connection again.
 */
class ClientTest {
    private static final long PATIENCE = 30; // seconds that anything may take

    private static Server server;
    private final List<HubConnection> connections = new ArrayList<>();

    @BeforeAll
    static void startServer() throws IOException {
        server = new Server();
    }

    @AfterAll
    static void stopServer() throws InterruptedException {
        server.close();
    }

    @AfterEach
    void stopConnections() {
        for (HubConnection c : connections) {
            c.stop().onErrorComplete().blockingAwait(PATIENCE, TimeUnit.SECONDS);
        }
    }

    private HubConnection build(String url, TransportEnum transport) {
        HubConnection c = HubConnectionBuilder.create(url).withTransport(transport).build();
        connections.add(c);
        return c;
    }

    private HubConnection connect(TransportEnum transport) {
        HubConnection c = build(server.url() + "/testhub", transport);
        start(c);
        return c;
    }

    private static void start(HubConnection c) {
        assertTrue(c.start().blockingAwait(PATIENCE, TimeUnit.SECONDS), "connected");
    }

    private static <T> T call(HubConnection c, Class<T> type, String method, Object... args) {
        return c.invoke(type, method, args).timeout(PATIENCE, TimeUnit.SECONDS).blockingGet();
    }

    private static void run(HubConnection c, String method, Object... args) {
        assertTrue(c.invoke(method, args).blockingAwait(PATIENCE, TimeUnit.SECONDS), method);
    }

    private static <T> List<T> items(HubConnection c, Class<T> type, String method, Object... args) {
        return c.stream(type, method, args).timeout(PATIENCE, TimeUnit.SECONDS).toList().blockingGet();
    }

    private static void fails(String text, org.junit.jupiter.api.function.Executable call) {
        Throwable e = assertThrows(Throwable.class, call);
        assertEquals(text, e.getMessage());
    }

    private static <T> BlockingQueue<T> inbox(HubConnection c, String method, Class<T> type) {
        BlockingQueue<T> queue = new LinkedBlockingQueue<>();
        c.on(method, queue::add, type);
        return queue;
    }

    private static <T> T next(BlockingQueue<T> queue) throws InterruptedException {
        T found = queue.poll(PATIENCE, TimeUnit.SECONDS);
        assertNotNull(found, "a message in time");
        return found;
    }

    /** Thing is what EchoObject takes and returns. */
    static class Thing {
        String name;
        int value;
    }

    @ParameterizedTest
    @EnumSource(names = {"WEBSOCKETS", "LONG_POLLING"})
    void calls(TransportEnum transport) {
        HubConnection c = connect(transport);
        assertEquals("你好 <b> 👋", call(c, String.class, "Echo", "你好 <b> 👋"));
        assertEquals(-3, call(c, Integer.class, "Add", 2, -5));
        assertEquals(c.getConnectionId(), call(c, String.class, "GetConnectionId"));
        assertEquals(transport == TransportEnum.WEBSOCKETS ? "WebSockets" : "LongPolling", call(c, String.class, "GetTransport"));
        run(c, "Nothing");
    }

    @ParameterizedTest
    @EnumSource(names = {"WEBSOCKETS", "LONG_POLLING"})
    void objects(TransportEnum transport) {
        HubConnection c = connect(transport);
        Thing thing = new Thing();
        thing.name = "é";
        thing.value = 7;
        Thing back = call(c, Thing.class, "EchoObject", thing);
        assertEquals("é", back.name);
        assertEquals(7, back.value);
    }

    @ParameterizedTest
    @EnumSource(names = {"WEBSOCKETS", "LONG_POLLING"})
    void callsBesideEachOther(TransportEnum transport) {
        HubConnection c = connect(transport);
        List<Single<Integer>> calls = IntStream.range(0, 30).mapToObj(n -> c.invoke(Integer.class, "Add", n, n)).collect(Collectors.toList());
        for (int n = 0; n < calls.size(); n++) {
            assertEquals(2 * n, calls.get(n).timeout(PATIENCE, TimeUnit.SECONDS).blockingGet());
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"WEBSOCKETS", "LONG_POLLING"})
    void errors(TransportEnum transport) {
        HubConnection c = connect(transport);
        fails("Failed to invoke 'NoSuchMethod' due to an error on the server. HubException: Method does not exist.",
            () -> call(c, String.class, "NoSuchMethod"));
        fails("Failed to invoke 'Add' due to an error on the server. InvalidDataException: Invocation provides 1 argument(s) but target expects 2.",
            () -> call(c, Integer.class, "Add", 1));
        fails("An unexpected error occurred invoking 'Throw' on the server. InvalidOperationException: secret",
            () -> call(c, String.class, "Throw", "secret"));
        fails("An unexpected error occurred invoking 'ThrowHub' on the server. HubException: no such task",
            () -> call(c, String.class, "ThrowHub", "no such task"));
        assertEquals("still here", call(c, String.class, "Echo", "still here"));
    }

    @ParameterizedTest
    @EnumSource(names = {"WEBSOCKETS", "LONG_POLLING"})
    void messagesInOrder(TransportEnum transport) throws InterruptedException {
        HubConnection c = connect(transport);
        BlockingQueue<Integer> inbox = inbox(c, "Number", Integer.class);
        run(c, "Burst", 500);
        for (int n = 0; n < 500; n++) {
            assertEquals(n, next(inbox));
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"WEBSOCKETS", "LONG_POLLING"})
    void groups(TransportEnum transport) throws InterruptedException {
        HubConnection a = connect(transport);
        HubConnection b = connect(transport);
        BlockingQueue<String> inA = inbox(a, "Message", String.class);
        BlockingQueue<String> inB = inbox(b, "Message", String.class);
        String group = "group " + a.getConnectionId();
        run(a, "Join", group);
        run(b, "SendToGroup", group, "in");
        assertEquals("in", next(inA));
        run(a, "Leave", group);
        run(b, "SendToGroup", group, "out");
        run(a, "SendToCaller", "end");
        assertEquals("end", next(inA));
        assertTrue(inB.isEmpty());
    }

    @ParameterizedTest
    @EnumSource(names = {"WEBSOCKETS", "LONG_POLLING"})
    void clientResults(TransportEnum transport) {
        HubConnection c = connect(transport);
        c.onWithResult("Ask", (String question) -> Single.just(question + "!"), String.class);
        assertEquals("sure!", call(c, String.class, "AskCaller", "sure"));
        HubConnection silent = connect(transport); // whoever has no handler cannot parse either
        fails("An unexpected error occurred invoking 'AskConnection' on the server. HubException: Client failed to parse argument(s).",
            () -> call(c, String.class, "AskConnection", silent.getConnectionId(), "?"));
    }

    @ParameterizedTest
    @EnumSource(names = {"WEBSOCKETS", "LONG_POLLING"})
    void streamsDown(TransportEnum transport) {
        HubConnection c = connect(transport);
        assertEquals(List.of(0, 1, 2, 3, 4), items(c, Integer.class, "Counter", 5, 0));
        assertEquals(List.of(), items(c, Integer.class, "Counter", 0, 0));
        assertEquals(List.of(0, 1), c.stream(Integer.class, "Counter", 1_000_000, 5).take(2).timeout(PATIENCE, TimeUnit.SECONDS).toList().blockingGet());
        fails("An error occurred on the server while streaming results. HubException: stream failed",
            () -> items(c, Integer.class, "FailAfter", 2));
        assertEquals("still here", call(c, String.class, "Echo", "still here"));
    }

    // Over long polling this client posts the items of an upload side by side,
    // and they overtake each other.
    @ParameterizedTest
    @EnumSource(names = "WEBSOCKETS")
    void streamsUp(TransportEnum transport) {
        HubConnection c = connect(transport);
        ReplaySubject<Object> words = ReplaySubject.create();
        Single<String> concat = c.invoke(String.class, "Concat", words);
        words.onNext("a");
        words.onNext("é");
        words.onComplete();
        assertEquals("aé", concat.timeout(PATIENCE, TimeUnit.SECONDS).blockingGet());

        ReplaySubject<Object> first = ReplaySubject.create();
        ReplaySubject<Object> second = ReplaySubject.create();
        Single<Integer> sum = c.invoke(Integer.class, "SumTwo", first, second);
        first.onNext(1);
        second.onNext(20);
        first.onNext(2);
        first.onComplete();
        second.onComplete();
        assertEquals(23, sum.timeout(PATIENCE, TimeUnit.SECONDS).blockingGet());
    }

    @ParameterizedTest
    @EnumSource(names = {"WEBSOCKETS", "LONG_POLLING"})
    void aborted(TransportEnum transport) throws Exception {
        HubConnection c = connect(transport);
        CompletableFuture<Optional<Exception>> closed = new CompletableFuture<>();
        c.onClosed(e -> closed.complete(Optional.ofNullable(e)));
        c.send("Abort");
        Exception cause = closed.get(PATIENCE, TimeUnit.SECONDS).orElse(null);
        // Over long polling this client sends its DELETE and its next poll side
        // by side. A poll that comes second is answered 404, by the reference
        // too (http-edges, lines 50 and 51), and the client calls that an error.
        if (cause != null) {
            assertEquals(TransportEnum.LONG_POLLING, transport, cause::toString);
            assertEquals("Unexpected response code 404.", cause.getMessage());
        }
        assertEquals(HubConnectionState.DISCONNECTED, c.getConnectionState());
    }

    @ParameterizedTest
    @EnumSource(names = {"WEBSOCKETS", "LONG_POLLING"})
    void startedAgainAfterACut(TransportEnum transport) throws Exception {
        try (Cutter cutter = new Cutter(server.address)) {
            HubConnection c = build(cutter.url() + "/testhub", transport);
            BlockingQueue<String> inbox = inbox(c, "Message", String.class);
            CompletableFuture<Void> closed = new CompletableFuture<>();
            c.onClosed(e -> closed.complete(null));
            start(c);
            String id = c.getConnectionId();
            if (transport == TransportEnum.WEBSOCKETS) {
                cutter.cut();
                closed.get(PATIENCE, TimeUnit.SECONDS);
            } else { // okhttp repeats a poll that was cut, unseen
                c.stop().blockingAwait(PATIENCE, TimeUnit.SECONDS);
            }
            start(c);
            assertNotEquals(id, c.getConnectionId());
            run(c, "SendToCaller", "handlers stay");
            assertEquals("handlers stay", next(inbox));
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"WEBSOCKETS", "LONG_POLLING"})
    void token(TransportEnum transport) {
        HubConnection c = HubConnectionBuilder.create(server.url() + "/authhub").withTransport(transport)
            .withAccessTokenProvider(Single.just("ada:60")).build();
        connections.add(c);
        start(c);
        assertEquals("ada", call(c, String.class, "GetUser"));
    }
}
