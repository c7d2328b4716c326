package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func load(t *testing.T, file string, env []string, flags ...Flag) (*Config, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if env == nil {
		env = []string{}
	}
	return Load(LoadOptions{File: name, Environ: env, Flags: flags})
}

func mustLoad(t *testing.T, file string, env []string, flags ...Flag) *Config {
	t.Helper()
	c, err := load(t, file, env, flags...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaultsAreAllowed(t *testing.T) {
	c := mustLoad(t, `{}`, nil)
	want := Default()
	if c.SignalR != want.SignalR || c.URLs != want.URLs || c.Tasks != want.Tasks {
		t.Errorf("an empty file changes the defaults: %+v", c)
	}
	// Every default, written down, is accepted.
	for _, s := range c.Settings() {
		value := strings.Trim(s.Value, `"[]`)
		if value == "" {
			continue
		}
		if _, err := load(t, `{}`, nil, Flag{Name: "--x", Path: s.Path, Value: strings.ReplaceAll(value, `", "`, ";")}); err != nil {
			t.Errorf("the default of %s is refused: %v", s.Path, err)
		}
	}
}

func TestMissingFile(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := Load(LoadOptions{Environ: []string{}})
	if err != nil || c.File != "" {
		t.Fatalf("without a file: %v, %q", err, c.File)
	}
	if _, err := Load(LoadOptions{File: "other.json", Environ: []string{}}); err == nil {
		t.Error("a file that was named and is missing is no error")
	}
}

// guideBlocks are the JSON examples under "Server Configuration" and
// "Server-Side Optimization" of the configuration guide, as they stand there.
const guideSettings = `{
  "SignalR": {
    "EnableDetailedErrors": false,
    "KeepAliveInterval": "00:00:15",
    "ClientTimeoutInterval": "00:00:30",
    "HandshakeTimeout": "00:00:15",
    "MaximumReceiveMessageSize": 32768,
    "StreamBufferCapacity": 10,
    "EnableMessageTracing": false
  },
  "Redis": {
    "Configuration": "localhost:6379",
    "InstanceName": "conduit-signalr"
  }
}`

const guideTuning = `{
  "SignalR": {
    // Reduce keep-alive frequency
    "KeepAliveInterval": "00:00:30",
    
    // Increase client timeout for mobile networks
    "ClientTimeoutInterval": "00:01:00",
    
    // Limit message size to prevent abuse
    "MaximumReceiveMessageSize": 16384
  }
}`

func TestGuide(t *testing.T) {
	c := mustLoad(t, guideSettings, nil)
	want := SignalR{KeepAliveInterval: 15 * time.Second, ClientTimeoutInterval: 30 * time.Second, HandshakeTimeout: 15 * time.Second,
		MaximumReceiveMessageSize: 32768, StreamBufferCapacity: 10, RateLimits: Default().SignalR.RateLimits}
	if c.SignalR != want {
		t.Errorf("got %+v", c.SignalR)
	}
	r := c.RedisConfiguration()
	if r == nil || !cmp.Equal(r.Endpoints, []string{"localhost:6379"}) || c.Redis.InstanceName != "conduit-signalr" {
		t.Errorf("Redis: %+v, %+v", r, c.Redis)
	}
	c = mustLoad(t, guideTuning, nil)
	want = SignalR{KeepAliveInterval: 30 * time.Second, ClientTimeoutInterval: time.Minute, HandshakeTimeout: 15 * time.Second,
		MaximumReceiveMessageSize: 16384, StreamBufferCapacity: 10, RateLimits: Default().SignalR.RateLimits}
	if c.SignalR != want {
		t.Errorf("got %+v", c.SignalR)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "20 s") {
		t.Errorf("the rule about pings is not told: %q", c.Warnings)
	}
}

func TestPrecedenceAndSources(t *testing.T) {
	c := mustLoad(t, "{\n \"signalr\": {\n  \"KEEPALIVEINTERVAL\": \"00:00:11\", \"HandshakeTimeout\": \"00:00:12\",\n \"StreamBufferCapacity\": \"7\" } }",
		[]string{"SIGNALR__HandshakeTimeout=00:00:13", "signalR__maximumReceiveMessageSize=1000", "HOME=/x", "Other__Thing=1", "Redis=tcp://10.0.0.1:6379"},
		Flag{"--set", "SignalR:MaximumReceiveMessageSize", "2000"})
	if c.SignalR.KeepAliveInterval != 11*time.Second || c.SignalR.HandshakeTimeout != 13*time.Second ||
		c.SignalR.MaximumReceiveMessageSize != 2000 || c.SignalR.StreamBufferCapacity != 7 {
		t.Errorf("got %+v", c.SignalR)
	}
	for path, want := range map[string]string{
		"SignalR:KeepAliveInterval":         `appsettings\.json:3$`,
		"SignalR:HandshakeTimeout":          `^environment SIGNALR__HandshakeTimeout$`,
		"SignalR:MaximumReceiveMessageSize": `^flag --set$`,
		"SignalR:ClientTimeoutInterval":     `^default$`,
	} {
		if got := c.Origin(path).String(); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s comes from %q, want %s", path, got, want)
		}
	}
	if len(c.Foreign) != 0 {
		t.Errorf("the environment's own variables are named as foreign: %q", c.Foreign)
	}
}

func TestPrefix(t *testing.T) {
	c := mustLoad(t, `{"Conduit":{"DataFolder":"/a","SignalR":{"HandshakeTimeout":"00:00:05"}}}`, []string{"CONDUIT__URLS=http://127.0.0.1:0", "CONDUIT_API_KEY=x"})
	if c.DataFolder != "/a" || c.URLs != "http://127.0.0.1:0" || c.SignalR.HandshakeTimeout != 5*time.Second {
		t.Errorf("got %+v", c)
	}
	if _, err := load(t, `{"Conduit":{"DataFoldr":"/a"}}`, nil); err == nil || !strings.Contains(err.Error(), "did you mean DataFolder?") {
		t.Errorf("an unknown name below Conduit: %v", err)
	}
}

func TestLists(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		env        []string
		want       []string
	}{
		{"default", `{}`, nil, []string{"*"}},
		{"array", `{"Cors":{"AllowedOrigins":["https://a.example","https://b.example"]}}`, nil, []string{"https://a.example", "https://b.example"}},
		{"none", `{"Cors":{"AllowedOrigins":[]}}`, nil, nil},
		{"text", `{"Cors":{"AllowedOrigins":"https://a.example; https://b.example"}}`, nil, []string{"https://a.example", "https://b.example"}},
		{"index in the environment", `{"Cors":{"AllowedOrigins":["https://a.example","https://b.example"]}}`,
			[]string{"Cors__AllowedOrigins__1=https://c.example"}, []string{"https://a.example", "https://c.example"}},
		{"text above array", `{"Cors":{"AllowedOrigins":["https://a.example"]}}`, []string{"CORS__ALLOWEDORIGINS=*"}, []string{"*"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustLoad(t, tt.file, tt.env).Cors.AllowedOrigins; !cmp.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestForeignAndNull(t *testing.T) {
	c := mustLoad(t, `{
		"Logging": {"LogLevel": {"Default": "Information", "Microsoft": "Warning"}},
		"AllowedHosts": "*", // everyone
		"SignalR": {"MaximumReceiveMessageSize": null, "KeepAliveInterval": null},
		"Redis": null,
		"Signalr2": {"x": 1},
		"SignalR:HandshakeTimeout": "00:00:05",
	}`, nil)
	if want := []string{"Logging", "AllowedHosts", "Signalr2"}; !cmp.Equal(c.Foreign, want) {
		t.Errorf("foreign names %q, want %q", c.Foreign, want)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "did you mean SignalR?") {
		t.Errorf("warnings %q", c.Warnings)
	}
	want := Default().SignalR
	want.MaximumReceiveMessageSize, want.HandshakeTimeout = -1, 5*time.Second
	if c.SignalR != want {
		t.Errorf("got %+v, want %+v", c.SignalR, want)
	}
	if c.RedisConfiguration() != nil {
		t.Error("there is a Redis")
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		env        []string
		flags      []Flag
		want       []string // all in the error
	}{
		{name: "unknown name", file: "{\"SignalR\":\n{\"KeepAliveIntervall\":\"00:00:15\"}}",
			want: []string{"appsettings.json:2", "SignalR:KeepAliveIntervall", `"00:00:15"`, "did you mean SignalR:KeepAliveInterval?", "HandshakeTimeout"}},
		{name: "unknown name far from any", file: `{"Redis":{"Zzzzzzzzzzz":1}}`, want: []string{"Redis:Zzzzzzzzzzz", "InstanceName"}},
		{name: "unknown in the environment", file: `{}`, env: []string{"SignalR__Keepalive=1"}, want: []string{"environment SignalR__Keepalive"}},
		{name: "unknown flag path", file: `{}`, flags: []Flag{{"--set", "Foo:Bar", "1"}}, want: []string{"flag --set", "Foo:Bar"}},
		{name: "no timespan", file: `{"SignalR":{"KeepAliveInterval":"15s"}}`, want: []string{"SignalR:KeepAliveInterval", `"15s"`, "00:00:15"}},
		{name: "days by accident", file: `{"SignalR":{"KeepAliveInterval":15}}`, want: []string{`"15"`, "days", "00:00:15"}},
		{name: "zero", file: `{"SignalR":{"ClientTimeoutInterval":"00:00:00"}}`, want: []string{"SignalR:ClientTimeoutInterval", "from 00:00:00.2"}},
		{name: "negative", file: `{"SignalR":{"HandshakeTimeout":"-00:00:15"}}`, want: []string{"SignalR:HandshakeTimeout", "00:10:00"}},
		{name: "fraction of a byte", file: `{"SignalR":{"MaximumReceiveMessageSize":1.5}}`, want: []string{`"1.5"`, "whole number", "1073741824", "null"}},
		{name: "zero bytes", file: `{"SignalR":{"MaximumReceiveMessageSize":0}}`, want: []string{"from 1 to"}},
		{name: "too many digits", file: `{"SignalR":{"MaximumReceiveMessageSize":99999999999999999999}}`, want: []string{"from 1 to"}},
		{name: "no bool", file: `{"SignalR":{"EnableDetailedErrors":"yes"}}`, want: []string{`"yes"`, "true or false"}},
		{name: "number as bool", file: `{"SignalR":{"EnableDetailedErrors":1}}`, want: []string{`"1"`, "true or false"}},
		{name: "list for a value", file: `{"SignalR":{"HandshakeTimeout":["00:00:15"]}}`, want: []string{"SignalR:HandshakeTimeout:0"}},
		{name: "empty list for a value", file: `{"SignalR":{"HandshakeTimeout":[]}}`, want: []string{"not a list"}},
		{name: "value for a section", file: `{"SignalR":5}`, want: []string{"SignalR is a section", "KeepAliveInterval"}},
		{name: "section for a value", file: `{"Urls":{"Http":"x"}}`, want: []string{"Urls is a single value"}},
		{name: "twice", file: "{\"SignalR\":{\"HandshakeTimeout\":\"00:00:15\"},\n\"signalr\":{\"handshaketimeout\":\"00:00:16\"}}", want: []string{":2", "twice", "line 1"}},
		{name: "twice in the environment", file: `{}`, env: []string{"SIGNALR__HANDSHAKETIMEOUT=00:00:01", "SignalR__HandshakeTimeout=00:00:02"}, want: []string{"SIGNALR__HANDSHAKETIMEOUT", "differ"}},
		{name: "https", file: `{"Urls":"https://127.0.0.1:5001"}`, want: []string{"Urls", "Https:Certificate", "proxy"}},
		{name: "https without its key", file: `{"Urls":"https://127.0.0.1:5001","Https":{"Certificate":"a.pem"}}`, want: []string{"Urls", "Https:Key"}},
		{name: "metrics over https", file: `{"Metrics":{"Urls":"https://127.0.0.1:5001"}}`, want: []string{"Metrics:Urls", "https is not served here"}},
		{name: "no address", file: `{"Urls":"5000"}`, want: []string{"Urls", "http://127.0.0.1:5000"}},
		{name: "public url with a path", file: `{"PublicUrl":"https://a.example/sub"}`, want: []string{"PublicUrl", "host and port only"}},
		{name: "no origin", file: `{"Cors":{"AllowedOrigins":["a.example"]}}`, want: []string{"Cors:AllowedOrigins", `"a.example"`}},
		{name: "no network", file: `{"ForwardedHeaders":{"KnownProxies":["proxy"]}}`, want: []string{"KnownProxies", "10.0.0.0/8"}},
		{name: "log level", file: `{"Log":{"Level":"loud"}}`, want: []string{"debug, info, warn, error"}},
		{name: "data folder", file: `{"DataFolder":""}`, want: []string{"DataFolder"}},
		{name: "redis without a server", file: `{"Redis":{"Configuration":"ssl=true"}}`, want: []string{"Redis:Configuration", "localhost:6379"}},
		{name: "redis option", file: `{"ConnectionStrings":{"Redis":"h,colour=red"}}`, want: []string{"ConnectionStrings:Redis", "colour"}},
		{name: "other connection string", file: `{"ConnectionStrings":{"Rediss":"h"}}`, want: []string{"did you mean ConnectionStrings:Redis?"}},
		{name: "not json", file: `{"SignalR": {`, want: []string{"appsettings.json", "not JSON"}},
		{name: "not an object", file: `[]`, want: []string{"one JSON object"}},
		{name: "not utf-8", file: "{\"SignalR\":{\"HandshakeTimeout\":\"\xff\"}}", want: []string{"not UTF-8"}},
		{name: "deep", file: strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), want: []string{"nested deeper"}},
		{name: "empty file", file: ``, want: []string{"not JSON"}},
		{name: "two faults", file: `{"SignalR":{"X1":1,"HandshakeTimeout":"x"}}`, want: []string{"SignalR:X1", "SignalR:HandshakeTimeout"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.file, tt.env, tt.flags...)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error does not say %q: %v", w, err)
				}
			}
		})
	}
}

func TestHugeFile(t *testing.T) {
	if _, err := load(t, `{}`+strings.Repeat(" ", maxFile), nil); err == nil || !strings.Contains(err.Error(), "1 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestPrintHidesSecrets(t *testing.T) {
	c := mustLoad(t, `{"Redis":{"Configuration":"h:1,password=s3cr3t,ssl=true"},"ConnectionStrings":{"Redis":"redis://me:s3cr3t@h:1/0"},"Logging2": 1}`, nil)
	var b strings.Builder
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "s3cr3t") {
		t.Errorf("a secret is printed:\n%s", b.String())
	}
	for _, want := range []string{`"h:1,password=***,ssl=true"`, `"redis://***@h:1/0"`, "appsettings.json:1", "SignalR:KeepAliveInterval", `"00:00:15"`, "(default)", "Not used by Conduit: Logging2"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	if c.RedisConfiguration().Options["password"] != "s3cr3t" {
		t.Error("the password itself is lost")
	}
}

func TestWhichRedis(t *testing.T) {
	for file, want := range map[string]string{
		`{"Redis":{"Configuration":"a:1"}}`:                                        "a:1",
		`{"ConnectionStrings":{"Redis":"b:2"}}`:                                    "b:2",
		`{"Redis":{"Configuration":"a:1"},"ConnectionStrings":{"Redis":"b:2"}}`:    "b:2 differ",
		`{"Redis":{"Configuration":"b:2"},"ConnectionStrings":{"Redis":"b:2"}}`:    "b:2",
		`{"Redis":{"Configuration":"a:1"},"ConnectionStrings":{"Redis":""}}`:       "a:1",
		`{"Redis":{"Configuration":"a:1"},"ConnectionStrings":{"Redis":null}}`:     "a:1",
		`{"Redis":{"InstanceName":"x"},"ConnectionStrings":{"Redis":"redis://b"}}`: "b:6379",
	} {
		c := mustLoad(t, file, nil)
		got := strings.Join(c.RedisConfiguration().Endpoints, ",")
		if strings.Contains(strings.Join(c.Warnings, "\n"), "differ") {
			got += " differ"
		}
		if got != want || c.Redis.ChannelPrefix != "conduit" {
			t.Errorf("%s: %s, want %s; prefix %q", file, got, want, c.Redis.ChannelPrefix)
		}
	}
}

func TestErrorsHideSecrets(t *testing.T) {
	for _, file := range []string{
		`{"Redis":{"Configuration":"password=s3cr3t"}}`,
		`{"Redis":{"Configuration":"h:99999,password=s3cr3t"}}`,
		`{"Redis":{"Configuration":"redis://me:s3cr3t@:x"}}`,
		`{"Redis":{"Configuration":"me:s3cr3t@h:6379"}}`,
		`{"ConnectionStrings":{"Rediss":"h,password=s3cr3t"}}`,
		`{"Redis":{"Password":"s3cr3t"}}`,
	} {
		if _, err := load(t, file, nil); err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestListenAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:5000":               "127.0.0.1:5000",
		"http://*:5000/":                      ":5000",
		"http://+:80":                         ":80",
		"http://localhost":                    "localhost:80",
		"HTTP://[::1]:5000; http://0.0.0.0:1": "[::1]:5000 0.0.0.0:1",
		"http://[::1]":                        "[::1]:80",
		"http://127.0.0.1:0":                  "127.0.0.1:0",
	} {
		got, err := ListenAddresses(in)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", ";", "5000", "ftp://a:1", "http://a:b", "http://a:70000", "http://::1:5000", "http://[::1:5000", "http://[zz]:1", "http://a/b", "http://a:", "http://u@a:1"} {
		if got, err := ListenAddresses(in); err == nil {
			t.Errorf("%q is accepted as %q", in, got)
		}
	}
}
