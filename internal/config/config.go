// Package config reads Conduit's settings: appsettings.json, then the
// environment, then flags, each above the one before, under the names of the
// configuration guide. Names fold case, as .NET configuration does. What the
// guide calls a TimeSpan is written as .NET writes it ("00:00:15").
//
// In Conduit's own sections an unknown name or an impossible value is an
// error, so that nothing is silently ignored; other top-level names are
// listed in Config.Foreign.
//
// docs/configuration.md is generated from the comments and tags below.
package config

import "time"

// Config is everything that can be set. A Config comes from Load; its fields
// are read, never changed, afterwards.
type Config struct {
	// Addresses to listen on, separated by semicolons. `http://*:5000` listens
	// on every interface; port 0 takes any free one. `https://` needs a
	// certificate, see Https.
	URLs string `name:"Urls" check:"urls"`

	// The address under which browsers and clients reach Conduit, where that
	// is not the address they send: behind a proxy that changes it. Links and
	// the console's origin check are made from it.
	PublicURL string `name:"PublicUrl" check:"origin"`

	// The certificate of `https` addresses.
	HTTPS HTTPS `name:"Https"`

	// The folder for the database, the media, the signing secret and the local
	// credentials file. It is made with mode 0700. Relative to the working
	// directory.
	DataFolder string `check:"required"`

	// How long a stopping server waits for requests and connections to end.
	ShutdownTimeout time.Duration `min:"00:00:00.1" max:"00:10:00"`

	// Real-time connections: the settings of ASP.NET Core SignalR, under their
	// names, for all hubs.
	SignalR SignalR

	// The backplane between several instances.
	Redis Redis

	// Connection strings by name, as in .NET.
	ConnectionStrings ConnectionStrings

	// Pages of other origins that may use the API with a key.
	Cors Cors

	// Proxies whose X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host
	// are believed.
	ForwardedHeaders ForwardedHeaders

	// Figures for Prometheus.
	Metrics Metrics

	// Results.
	Media Media

	// Limits of generation tasks.
	Tasks Tasks

	// The built-in renderer, models `local-video` and `local-image`.
	Renderer Renderer

	// The log, written to standard error.
	Log Log

	// Foreign are the top-level names that are none of ours, as written in the
	// file, in order.
	Foreign []string `name:"-"`

	// Warnings are sentences about settings that are allowed but doubtful.
	Warnings []string `name:"-"`

	// File is the settings file that was read; "" when there is none.
	File string `name:"-"`

	origins map[string]Source
	redis   *RedisConfiguration
}

// HTTPS is how TLS is ended here, where no proxy does it.
type HTTPS struct {
	// A PEM file with the certificate and those that lead to its root. It is
	// read again when it changes.
	Certificate string

	// A PEM file with the certificate's private key.
	Key string
}

// SignalR are the guide's seven settings.
type SignalR struct {
	// Show the text of unexpected errors to clients. Only for development: it
	// can tell strangers about the inside.
	EnableDetailedErrors bool

	// A connection that was silent for this long gets a ping. Conduit's hubs
	// ping at least every 20 seconds unless the client tells a longer server
	// timeout in the query (`serverTimeout`, milliseconds), because the official
	// clients hang up after 30 seconds of silence.
	KeepAliveInterval time.Duration `min:"00:00:00.1" max:"1.00:00:00"`

	// A client that was silent for this long is disconnected. At least twice
	// the clients' own keep-alive interval (15 seconds unless they change it).
	ClientTimeoutInterval time.Duration `min:"00:00:00.2" max:"1.00:00:00"`

	// A new connection has this long to send its handshake.
	HandshakeTimeout time.Duration `min:"00:00:00.1" max:"00:10:00"`

	// The largest message that a client may send, in bytes; `null` means no
	// limit.
	MaximumReceiveMessageSize int64 `min:"1" max:"1073741824" null:"-1"`

	// How many items of a client's upload stream are buffered.
	StreamBufferCapacity int `min:"1" max:"100000"`

	// Write every hub message into the log at debug level.
	EnableMessageTracing bool

	// How often clients may call hub methods. Every call counts once, also one
	// that fails, and one for many tasks.
	RateLimits RateLimits
}

// RateLimits bound calls of hub methods.
type RateLimits struct {
	// Calls a second and connection; 0 means no limit. What is above is
	// refused, with when to try again.
	Calls int `min:"0" max:"1000000"`

	// Calls at once, of a connection that was silent before; 0 means no limit.
	Burst int `min:"0" max:"1000000"`

	// Calls a second of all connections of a key; 0 means no limit.
	CallsPerKey int `min:"0" max:"100000000"`

	// So many refused calls of a connection within ten seconds close it; 0
	// means never.
	Refusals int `min:"0" max:"1000000"`
}

// Redis names the server that joins several instances.
type Redis struct {
	// Where Redis is, as StackExchange.Redis writes it:
	// `host:6379,password=...,ssl=true`. Used where `ConnectionStrings:Redis` is
	// empty. Both empty: one instance, no Redis.
	Configuration string `check:"redis"`

	// The name under which connections are shown in Redis (`CLIENT LIST`).
	InstanceName string

	// What every channel begins with. ASP.NET Core servers on the same
	// backplane need the same one.
	ChannelPrefix string
}

// ConnectionStrings are looked up by name.
type ConnectionStrings struct {
	// Where Redis is, before `Redis:Configuration`, and written in the same way.
	Redis string `check:"redis"`
}

// Cors says which other origins' pages may read answers.
type Cors struct {
	// Origins such as `https://app.example`, or `*` for every origin. The
	// console's cookie never counts for a page of another origin, whatever
	// stands here.
	AllowedOrigins []string `check:"origins"`
}

// ForwardedHeaders says which proxies are believed.
type ForwardedHeaders struct {
	// Believe the headers at all.
	Enabled bool

	// Addresses or networks (`10.0.0.0/8`) of the proxies. Headers from anybody
	// else are passed over.
	KnownProxies []string `check:"networks"`
}

// Metrics are served on a listener of their own.
type Metrics struct {
	// Addresses for `/metrics`, such as `http://127.0.0.1:9464`, separated by
	// semicolons. Empty: off. They need no key, so let nobody but Prometheus
	// reach them.
	URLs string `name:"Urls" check:"urlsOrNone"`
}

// Media is about results.
type Media struct {
	// How long a link to a result is good for.
	LinkLifetime time.Duration `min:"00:00:10" max:"7.00:00:00"`
}

// Tasks are limits of generation tasks.
type Tasks struct {
	// Tasks of one key that run at once; more stay pending.
	MaxRunningPerKey int `min:"1" max:"100000"`

	// Unfinished tasks of one key; more are refused with 429.
	MaxUnfinishedPerKey int `min:"1" max:"10000000"`

	// A video task that is not done by then ends as timed out. A request's
	// timeout_seconds can only lower it.
	VideoDeadline time.Duration `min:"00:00:01" max:"7.00:00:00"`

	// The same for images.
	ImageDeadline time.Duration `min:"00:00:01" max:"7.00:00:00"`

	// How long an ended task and its results are kept; `00:00:00` means for
	// good.
	Retention time.Duration `min:"00:00:00" max:"3650.00:00:00"`
}

// Renderer is the built-in provider.
type Renderer struct {
	// Renders at once; 0 means one per processor core.
	MaxWorkers int `min:"0" max:"1024"`
}

// Log is what is logged.
type Log struct {
	// `debug`, `info`, `warn` or `error`.
	Level string `enum:"debug,info,warn,error"`
}

// Default are the settings where nothing is said.
func Default() Config {
	return Config{
		URLs:            "http://127.0.0.1:5000",
		DataFolder:      "conduit-data",
		ShutdownTimeout: 10 * time.Second,
		SignalR: SignalR{
			KeepAliveInterval:         15 * time.Second,
			ClientTimeoutInterval:     30 * time.Second,
			HandshakeTimeout:          15 * time.Second,
			MaximumReceiveMessageSize: 32 * 1024,
			StreamBufferCapacity:      10,
			RateLimits:                RateLimits{Calls: 20, Burst: 200, CallsPerKey: 2000, Refusals: 200},
		},
		Redis:            Redis{ChannelPrefix: "conduit"},
		Cors:             Cors{AllowedOrigins: []string{"*"}},
		ForwardedHeaders: ForwardedHeaders{KnownProxies: []string{"127.0.0.1", "::1"}},
		Media:            Media{LinkLifetime: time.Hour},
		Tasks: Tasks{
			MaxRunningPerKey:    10,
			MaxUnfinishedPerKey: 1000,
			VideoDeadline:       time.Hour,
			ImageDeadline:       5 * time.Minute,
			Retention:           30 * 24 * time.Hour,
		},
		Log: Log{Level: "info"},
	}
}

// RedisConfiguration is the Redis that is configured, from
// ConnectionStrings:Redis, else from Redis:Configuration; nil: none.
func (c *Config) RedisConfiguration() *RedisConfiguration { return c.redis }

// ServesHTTPS reports whether one of Urls is an https address.
func (c *Config) ServesHTTPS() bool {
	for _, l := range c.Listen() {
		if l.TLS {
			return true
		}
	}
	return false
}

// Listen are the addresses of Urls. It returns none for a Config that Load did
// not check.
func (c *Config) Listen() []Listen {
	l, _ := parseURLs(c.URLs)
	return l
}

// Origin tells where the setting at path ("SignalR:KeepAliveInterval", folding
// case) came from.
func (c *Config) Origin(path string) Source { return c.origins[fold(path)] }
