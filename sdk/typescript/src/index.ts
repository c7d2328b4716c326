// @knn_labs/conduit-core-client

export { ConduitCoreClient, type AbnormalConnections, type ConnectOptions, type HubName, type SignalRHealth } from './client.js';
export type * from './contract.js';
export * from './errors.js';
export { isEnd, type EndOf, type TaskEvent } from './events.js';
export type { ConnectionChange, ConnectionState } from './link.js';
export type { Logger, LogLevel } from './logging.js';
export type { Navigation, NavigationEvent, NavigationWatch, NavigationWatchOptions } from './navigation.js';
export type { ClientOptions, SignalROptions, TransportName } from './options.js';
export type { ListOptions, TaskList, TaskPage } from './pages.js';
export type { CallOptions, PostOptions } from './rest.js';
export type { GenerateOptions, HistoryOptions, Images, ImageTasks, Tasks, Video, Videos } from './tasks.js';
export type { Watch, WatchOptions } from './watch.js';
