"""The pysignalr client against the conformance server: both protocols, WebSockets.

    CONFORMANCE_SERVER=path python -m unittest -v test_client

It has no automatic reconnect after negotiation: it asks for the old id again,
which no SignalR server takes. What it has is tested: the loop without
negotiation, and a client run anew.
"""

import asyncio
import os
import subprocess
import unittest

from pysignalr.client import SignalRClient
from pysignalr.protocol.json import JSONProtocol
from pysignalr.protocol.messagepack import MessagepackProtocol

PATIENCE = 30  # seconds that anything may take


class Server:
    """A conformance server on a free port."""

    def __init__(self):
        self.process = subprocess.Popen(
            [os.environ['CONFORMANCE_SERVER'], '-addr', '127.0.0.1:0'],
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.address = line.removeprefix('listening on ').strip()
        self.url = f'http://{self.address}'

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


class Cutter:
    """A TCP proxy that can cut what goes through it."""

    async def start(self, target):
        host, port = target.split(':')
        self.pairs = set()

        async def serve(reader, writer):
            up_reader, up_writer = await asyncio.open_connection(host, port)
            self.pairs |= {writer, up_writer}

            async def copy(source, sink):
                try:
                    while piece := await source.read(65536):
                        sink.write(piece)
                        await sink.drain()
                except (OSError, asyncio.CancelledError):
                    pass
                finally:
                    sink.close()

            try:
                await asyncio.gather(copy(reader, up_writer), copy(up_reader, writer))
            except asyncio.CancelledError:
                pass  # the test is over
            self.pairs -= {writer, up_writer}

        self.server = await asyncio.start_server(serve, '127.0.0.1', 0)
        self.address = '%s:%d' % self.server.sockets[0].getsockname()
        return self

    def cut(self):
        for writer in list(self.pairs):
            writer.transport.abort()

    def stop(self):
        self.server.close()
        self.cut()


class Client:
    """A client that runs in a task, with calls that can be awaited."""

    def __init__(self, url, protocol, negotiate=True, **options):
        self.hub = SignalRClient(url, protocol=protocol(), **options)
        if not negotiate:
            self.hub._transport._skip_negotiation = True
            self.hub._transport._url = url.replace('http', 'ws', 1)
        self.opened = asyncio.Queue()
        self.failures = {}
        self.closed = asyncio.Event()
        self.hub.on_open(self._open)
        self.hub.on_close(self._close)
        self.hub.on_error(self._failed)

    async def _open(self):
        self.opened.put_nowait(True)

    async def _close(self):
        self.closed.set()

    async def _failed(self, message):
        future = self.failures.pop(message.invocation_id, None)
        if future is not None and not future.done():
            future.set_exception(RuntimeError(message.error))

    async def start(self):
        self.task = asyncio.create_task(self.hub.run())
        await self.next_open()
        return self

    async def next_open(self):
        waiting = asyncio.create_task(self.opened.get())
        done, _ = await asyncio.wait({waiting, self.task}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if waiting not in done:
            waiting.cancel()
            raise self.task.exception() if self.task.done() else TimeoutError('not connected')

    async def stop(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def call(self, method, *arguments):
        future = asyncio.get_running_loop().create_future()

        async def answered(message):
            if not future.done():
                future.set_result(message.result)

        known = set(self.hub._invocation_handlers)
        await self.hub.send(method, list(arguments), answered)
        for invocation_id in set(self.hub._invocation_handlers) - known:
            self.failures[invocation_id] = future
        return await asyncio.wait_for(future, PATIENCE)

    async def items(self, method, *arguments):
        over = asyncio.get_running_loop().create_future()
        got = []

        async def item(value):
            got.append(value)

        async def complete(_):
            over.done() or over.set_result(None)

        async def failed(message):
            over.done() or over.set_exception(RuntimeError(message.error))

        await self.hub.stream(method, list(arguments), item, complete, failed)
        await asyncio.wait_for(over, PATIENCE)
        return got

    def inbox(self, event):
        queue = asyncio.Queue()

        async def received(arguments):
            queue.put_nowait(arguments)

        self.hub.on(event, received)
        return queue


class Scenarios:
    """The scenarios, mixed into a case per protocol."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    async def connect(self, url=None, hub='/testhub', **options):
        client = await Client((url or self.server.url) + hub, self.protocol, **options).start()
        self.addAsyncCleanup(client.stop)
        return client

    async def fails(self, awaitable, text):
        with self.assertRaises(RuntimeError) as caught:
            await awaitable
        self.assertEqual(str(caught.exception), text)

    async def test_calls(self):
        c = await self.connect()
        self.assertEqual(await c.call('Echo', '你好 <b> 👋'), '你好 <b> 👋')
        self.assertIsNone(await c.call('Echo', None))
        self.assertEqual(await c.call('Add', 2, -5), -3)
        self.assertIsNone(await c.call('Nothing'))
        self.assertEqual(await c.call('GetTransport'), 'WebSockets')

    async def test_objects(self):
        c = await self.connect()
        names = ('name', 'value') if self.protocol is JSONProtocol else ('Name', 'Value')
        thing = dict(zip(names, ('é', 7)))
        self.assertEqual(await c.call('EchoObject', thing), thing)

    async def test_calls_beside_each_other(self):
        c = await self.connect()
        self.assertEqual(await asyncio.gather(*(c.call('Add', n, n) for n in range(50))), [2 * n for n in range(50)])

    async def test_errors(self):
        c = await self.connect()
        await self.fails(c.call('NoSuchMethod'),
                         "Failed to invoke 'NoSuchMethod' due to an error on the server. HubException: Method does not exist.")
        await self.fails(c.call('Add', 1),
                         "Failed to invoke 'Add' due to an error on the server. InvalidDataException: Invocation provides 1 argument(s) but target expects 2.")
        await self.fails(c.call('Throw', 'secret'),
                         "An unexpected error occurred invoking 'Throw' on the server. InvalidOperationException: secret")
        await self.fails(c.call('ThrowHub', 'no such task'),
                         "An unexpected error occurred invoking 'ThrowHub' on the server. HubException: no such task")
        self.assertEqual(await c.call('Echo', 'still here'), 'still here')

    async def test_messages_in_order(self):
        c = await self.connect()
        inbox = c.inbox('Number')
        await c.call('Burst', 500)
        got = [(await asyncio.wait_for(inbox.get(), PATIENCE))[0] for _ in range(500)]
        self.assertEqual(got, list(range(500)))

    async def test_groups(self):
        a, b = await self.connect(), await self.connect()
        inboxes = a.inbox('Message'), b.inbox('Message')
        group = f'group {id(self)}'
        await a.call('Join', group)
        await b.call('SendToGroup', group, 'in')
        self.assertEqual(await asyncio.wait_for(inboxes[0].get(), PATIENCE), ['in'])
        await a.call('Leave', group)
        await b.call('SendToGroup', group, 'out')
        await a.call('SendToCaller', 'end')
        self.assertEqual(await asyncio.wait_for(inboxes[0].get(), PATIENCE), ['end'])
        self.assertTrue(inboxes[1].empty())

    async def test_client_results(self):
        c = await self.connect()

        async def answer(arguments):
            if arguments[0] == 'bad':
                raise ValueError('nope')
            return arguments[0] + '!'

        c.hub.on('Ask', answer)
        # Its answers wait for the handler of the call that asks; so another one asks.
        asker = await self.connect()
        there = await c.call('GetConnectionId')
        self.assertEqual(await asker.call('AskConnection', there, 'sure'), 'sure!')
        await self.fails(asker.call('AskConnection', there, 'bad'),
                         "An unexpected error occurred invoking 'AskConnection' on the server. HubException: nope")

    async def test_streams_down(self):
        c = await self.connect()
        self.assertEqual(await c.items('Counter', 5, 0), [0, 1, 2, 3, 4])
        self.assertEqual(await c.items('Counter', 0, 0), [])
        await self.fails(c.items('FailAfter', 2), 'An error occurred on the server while streaming results. HubException: stream failed')

    async def test_stream_up(self):
        c = await self.connect()
        # Its uploads want no answer: what they lead to is seen by what comes after them.
        async with c.hub.client_stream('Concat') as stream:
            for word in ('a', 'b'):
                await stream.send(word)
        self.assertEqual(await c.call('Echo', 'fine'), 'fine')

    async def test_aborted(self):
        c = await self.connect()
        await c.hub.send('Abort', [])
        await asyncio.wait_for(c.closed.wait(), PATIENCE)

    async def test_reconnect(self):
        cutter = await Cutter().start(self.server.address)
        self.addCleanup(cutter.stop)
        c = await self.connect(url=f'http://{cutter.address}', negotiate=False)
        inbox = c.inbox('Message')
        first = await c.call('GetConnectionId')
        cutter.cut()
        await c.next_open()
        second = await c.call('GetConnectionId')
        self.assertNotEqual(first, second)
        await c.call('SendToCaller', 'handlers stay')
        self.assertEqual(await asyncio.wait_for(inbox.get(), PATIENCE), ['handlers stay'])

    async def test_run_anew(self):
        cutter = await Cutter().start(self.server.address)
        self.addCleanup(cutter.stop)
        c = await self.connect(url=f'http://{cutter.address}')
        cutter.cut()
        await asyncio.wait_for(c.closed.wait(), PATIENCE)
        again = await self.connect(url=f'http://{cutter.address}')
        self.assertEqual(await again.call('Echo', 'again'), 'again')

    async def test_token(self):
        c = await self.connect(hub='/authhub', headers={'Authorization': 'Bearer ada:60'})
        self.assertEqual(await c.call('GetUser'), 'ada')


class JSON(Scenarios, unittest.IsolatedAsyncioTestCase):
    protocol = JSONProtocol


class MessagePack(Scenarios, unittest.IsolatedAsyncioTestCase):
    protocol = MessagepackProtocol


if __name__ == '__main__':
    unittest.main()
