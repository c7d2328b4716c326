// The client: options in, everything else through its parts.

import type { Model } from './contract.js';
import { InvalidOptionError } from './errors.js';
import { type Link, type ConnectionChange, type ConnectionState } from './link.js';
import { NavigationLink, Navigation } from './navigation.js';
import { record, settings, type ClientOptions } from './options.js';
import { listOf, type ListOptions, type TaskList } from './pages.js';
import { checkCall, Rest, type CallOptions } from './rest.js';
import { TaskLink } from './tasklink.js';
import { ImageTasks, Videos } from './tasks.js';

/** The hubs that can be connected to. */
export type HubName = 'videos' | 'images' | 'navigation';

/** What `connect` takes. */
export interface ConnectOptions {
  /** Which hubs; left out: `['videos']`. The key needs the scope of each. */
  hubs?: readonly HubName[];
  signal?: AbortSignal;
}

/** What `GET /health/signalr` says. */
export interface SignalRHealth {
  status: 'Healthy' | 'Degraded' | 'Unhealthy';
  /** Why it is not healthy. */
  reasons?: string[];
  /** By path. */
  hubs?: Record<string, { connections: number }>;
  /** `latencyMs`: how long an answer of Redis takes, in milliseconds; left out when it does not answer. */
  backplane?: { kind: string; status: string; latencyMs?: number };
}

/** What was noticed of abnormal connections to the instance that answers. */
export interface AbnormalConnections {
  /** When counting began. */
  since: string;
  /** Limits hold for as long. */
  window_seconds: number;
  patterns: {
    pattern: string;
    /** Of a key and of an address, within a window. */
    limit: number;
    total: number;
    /** How often a key or an address was above the limit in a window. */
    exceeded: number;
  }[];
  /** Keys and addresses: of the window that runs, then those above their limit in earlier ones. */
  data: {
    pattern: string;
    /** This one or `address`. */
    key_id: string | null;
    address: string | null;
    count: number;
    limit: number;
    above_limit: boolean;
    window_began_at: string;
    last_seen_at: string;
  }[];
}

/** A client of a Conduit server. One is enough for a program; all of it is safe to use at the same time. */
export class ConduitCoreClient {
  readonly videos: Videos;
  readonly images: ImageTasks;
  readonly navigation: Navigation;
  readonly tasks: {
    /** list is the key's own tasks of every kind that it may see, newest first. */
    list(options?: ListOptions): TaskList;
  };
  readonly models: {
    /** list is the models that can be asked for. */
    list(options?: CallOptions): Promise<Model[]>;
    get(id: string, options?: CallOptions): Promise<Model>;
  };
  readonly health: {
    /** signalR tells how the hubs are. */
    signalR(options?: CallOptions): Promise<SignalRHealth>;
  };
  readonly admin: {
    /** abnormal tells of abnormal connections; the key needs the scope admin. */
    abnormal(options?: CallOptions): Promise<AbnormalConnections>;
  };

  private readonly enabled: boolean;
  private readonly links: Record<HubName, Link>;

  /** Throws an `InvalidOptionError` that names the option and what is allowed. Nothing is sent yet. */
  constructor(options: ClientOptions = {}) {
    const own = settings(options);
    const rest = new Rest(own);
    const videos = new TaskLink(own, 'Video');
    const images = new TaskLink(own, 'Image');
    const navigation = new NavigationLink(own);
    this.links = { videos, images, navigation };
    this.enabled = own.signalR.enabled;
    this.videos = new Videos({ settings: own, rest, kind: 'Video', link: videos });
    this.images = new ImageTasks({ settings: own, rest, kind: 'Image', link: images });
    this.navigation = new Navigation(own, navigation);
    this.tasks = { list: (options = {}) => listOf(rest, undefined, options) };
    const get = async <T>(path: string, holds: string, call: CallOptions = {}) => {
      checkCall(call);
      return (await rest.call<T>({ ...call, method: 'GET', path, holds })).value;
    };
    this.models = {
      list: async (call) => (await get<{ data: Model[] }>('v1/models', 'data', call)).data,
      get: async (id, call) => {
        if (typeof id !== 'string' || id === '') throw new InvalidOptionError('id', 'id must be the id of a model.');
        return get<Model>(`v1/models/${encodeURIComponent(id)}`, 'id', call);
      },
    };
    this.admin = { abnormal: (call) => get<AbnormalConnections>('v1/admin/abnormal', 'patterns', call) };
    this.health = { signalR: (call) => get<SignalRHealth>('health/signalr', 'status', call) };
  }

  /**
   * connect opens hub connections and keeps them, used or not, until `disconnect`. With `autoConnect: false` it has to
   * come before the first watch. It retries like every connection does.
   */
  async connect(options: ConnectOptions = {}): Promise<void> {
    const { hubs = ['videos'], signal } = record('connect options', options, ['hubs', 'signal']);
    checkCall(signal ? { signal } : {});
    if (!Array.isArray(hubs)) throw new InvalidOptionError('hubs', `hubs must be an array of ${Object.keys(this.links).join(', ')}.`);
    const links = hubs.map((name) => this.link(name as HubName, 'hubs'));
    if (!this.enabled) throw new InvalidOptionError('signalR.enabled', 'signalR.enabled is false: no hub is connected to.');
    await Promise.all(links.map((link) => link.connect(signal)));
  }

  /** disconnect closes every hub connection. Watches that are not over end with a `ConnectionError`. */
  async disconnect(): Promise<void> {
    await Promise.all(Object.values(this.links).map((link) => link.disconnect()));
  }

  /** The state of a hub's connection. */
  connectionState(hub: HubName = 'videos'): ConnectionState {
    return this.link(hub, 'hub').state;
  }

  /** onConnectionChange tells every change of every hub's connection until the returned function is called. */
  onConnectionChange(listener: (change: ConnectionChange) => void): () => void {
    if (typeof listener !== 'function') throw new InvalidOptionError('listener', 'listener must be a function.');
    const undo = Object.values(this.links).map((link) => link.onChange(listener));
    return () => undo.forEach((f) => f());
  }

  private link(hub: HubName, option: string): Link {
    if (typeof hub === 'string' && Object.hasOwn(this.links, hub)) return this.links[hub];
    throw new InvalidOptionError(option, `${option} must be one of ${Object.keys(this.links).join(', ')}.`);
  }
}
