// Loaded into Node before an example of the guide: leads connections to
// api.conduit.ai to the server of the test, as a resolver would. Names and
// certificates are checked as ever.

import { Socket } from 'node:net';

const connect = Socket.prototype.connect;

Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (options?.host === 'api.conduit.ai' && Number(options.port) === 443) {
    options.port = Number(process.env.GUIDE_PORT);
    options.lookup = (_, { all }, done) => (all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4));
  }
  return connect.apply(this, args);
};
