package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/knnlabs/conduit/signalr"
)

// doctorCommand goes through the troubleshooting list of the configuration
// guide against a running server: connection failures, missed events, latency.
type doctorCommand struct {
	remote
	Idle time.Duration `default:"20s" help:"How long an idle connection is watched for being cut; 0 leaves that out."`
}

// verdict is what came of a check.
type verdict string

const (
	fine    verdict = "ok"
	doubt   verdict = "warn" // works, could be better
	broken  verdict = "fail"
	skipped verdict = "skip"
)

// doctor is one examination.
type doctor struct {
	*program
	c      *client
	failed int
	doubts int
}

// Run examines, and exits with 1 when something does not work.
func (cmd *doctorCommand) Run(p *program) error {
	c, err := p.connect(cmd.remote)
	if err != nil {
		return err
	}
	d := &doctor{program: p, c: c}
	_ = p.say("Examining %s\n", c.base) // nobody reads it
	if d.reachable() {
		d.encrypted()
		d.ready()
		if d.keyCounts() {
			scopes := d.permissions()
			if len(scopes) > 0 {
				d.transports(scopes[0])
				d.subscription(scopes)
				d.latency(scopes[0])
				d.idle(scopes[0], cmd.Idle)
			}
		}
		d.backplane()
	}
	switch {
	case p.ctx.Err() != nil:
		return context.Canceled
	case d.failed > 0:
		return &exitCode{code: exitError, err: fmt.Errorf("checks that failed: %d", d.failed)}
	}
	if d.doubts > 0 {
		return p.say("\nNothing is broken; see what is said after warn.")
	}
	return p.say("\nNothing is wrong.")
}

// report prints a line, and below it what to do.
func (d *doctor) report(v verdict, what, found, advice string) {
	switch v {
	case broken:
		d.failed++
	case doubt:
		d.doubts++
	}
	text := fmt.Sprintf("%-4s  %-22s %s", v, what, found)
	if advice != "" {
		text += "\n      -> " + advice
	}
	_ = d.say("%s", text) // nobody reads it
}

const checkTime = 10 * time.Second // for one check

// answer is what came of a request.
type answer struct {
	code   int
	status string // with its words
	date   string // of the header
	body   []byte
}

// get reads a path without a key.
func (d *doctor) get(path string) (a answer, err error) {
	ctx, cancel := context.WithTimeout(d.ctx, checkTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.c.base+path, nil)
	if err != nil {
		return a, err
	}
	res, err := d.c.http.Do(req)
	if err != nil {
		return a, err
	}
	defer func() { _ = res.Body.Close() }() // read, or not needed
	a = answer{code: res.StatusCode, status: res.Status, date: res.Header.Get("Date")}
	a.body, err = io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return a, err
}

func (d *doctor) reachable() bool {
	const what = "Server"
	res, err := d.get("/health/live")
	var op *net.OpError
	var name *net.DNSError
	switch {
	case errors.As(err, &name):
		d.report(broken, what, err.Error(), "The name does not resolve: check --server or CONDUIT_URL, and DNS.")
	case errors.As(err, &op) && op.Op == "dial":
		d.report(broken, what, err.Error(), "Nobody listens there, or a firewall is between: start one with conduit serve, check Urls (http://*:5000 listens on every interface) and the firewall.")
	case err != nil:
		d.report(broken, what, err.Error(), "Check the address, and with https the certificate.")
	case res.code != http.StatusOK:
		d.report(broken, what, "answered "+res.status, "That is no Conduit, or a proxy that cannot reach it: look at the proxy's log.")
	default:
		d.report(fine, what, "answers", "")
		d.clock(res)
		return true
	}
	return false
}

// clock compares clocks: links to results expire.
func (d *doctor) clock(res answer) {
	there, err := http.ParseTime(res.date)
	if err != nil {
		return
	}
	if apart := time.Since(there).Abs(); apart > time.Minute {
		d.report(doubt, "Clock", fmt.Sprintf("%s apart from the server's", apart.Round(time.Second)), "Set both clocks by NTP: keys and links expire by the server's.")
	}
}

func (d *doctor) encrypted() {
	u, err := url.Parse(d.c.base)
	if err != nil || u.Scheme == "https" {
		return
	}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsLoopback() || u.Hostname() == "localhost" {
		return
	}
	d.report(doubt, "HTTPS", "the key crosses the network in the clear", "Set Https:Certificate and Https:Key and an https address in Urls, or let a proxy end TLS and set ForwardedHeaders.")
}

func (d *doctor) ready() {
	const what = "Readiness"
	res, err := d.get("/health/ready")
	switch {
	case err != nil:
		d.report(broken, what, err.Error(), "Try again.")
	case res.code == http.StatusOK:
		d.report(fine, what, "the database answers", "")
	default:
		d.report(broken, what, strings.Join(reasons(res.body), " "), "Look at the server's log and at the disk of its data folder.")
	}
}

// reasons are what a health answer says is wrong.
func reasons(body []byte) []string {
	var h struct{ Reasons []string }
	if json.Unmarshal(body, &h) != nil || len(h.Reasons) == 0 {
		return []string{"no reason is given"}
	}
	return h.Reasons
}

func (d *doctor) keyCounts() bool {
	const what = "Virtual key"
	var models struct {
		Data []struct{ ID string }
	}
	ctx, cancel := context.WithTimeout(d.ctx, checkTime)
	defer cancel()
	err := d.c.call(ctx, http.MethodGet, "/v1/models", nil, &models)
	var refused *apiError
	switch {
	case err == nil:
		d.report(fine, what, fmt.Sprintf("counts; %d models", len(models.Data)), "")
		return true
	case errors.As(err, &refused) && refused.Status == http.StatusUnauthorized:
		d.report(broken, what, err.Error(), "Make one with conduit keys create, and see with conduit keys list whether this one was revoked or has expired.")
	default:
		d.report(broken, what, err.Error(), "")
	}
	return false
}

// hubs by the scope that they need.
var hubScopes = []struct{ scope, path string }{
	{"video", "/hubs/video-generation"}, {"image", "/hubs/image-generation"}, {"navigation", "/hubs/navigation-state"},
}

// permissions tries every hub's negotiation, and returns the paths of the hubs
// that the key may use.
func (d *doctor) permissions() (paths []string) {
	for _, h := range hubScopes {
		what := "Scope " + h.scope
		ctx, cancel := context.WithTimeout(d.ctx, checkTime)
		res, err := d.c.do(ctx, http.MethodPost, h.path+"/negotiate?negotiateVersion=1", nil, nil)
		var refused *apiError
		switch {
		case err == nil:
			_ = res.Body.Close() // its content does not matter
			d.report(fine, what, "the key may use "+h.path, "")
			paths = append(paths, h.path)
		case errors.As(err, &refused) && refused.Status == http.StatusForbidden:
			d.report(doubt, what, "the key may not use "+h.path, "If it should: conduit keys create --scopes video,image,navigation --name NAME.")
		case errors.As(err, &refused) && refused.Status == http.StatusNotFound:
			d.report(broken, what, h.path+" is not there", "Let the proxy pass /hubs/ on, with all methods.")
		default:
			d.report(broken, what, err.Error(), "Let the proxy pass POST to /hubs/ on.")
		}
		cancel()
	}
	if len(paths) == 0 && d.failed == 0 {
		d.report(broken, "Scopes", "the key may use no hub", "conduit keys create --scopes video,image,navigation --name NAME.")
	}
	return paths
}

// open connects to a hub over one transport.
func (d *doctor) open(path string, kind signalr.Transport, closed func(error)) (*signalr.Client, error) {
	hub := signalr.NewClient(d.c.base+path, signalr.ClientOptions{
		Token:      func(context.Context) (string, error) { return d.c.key, nil },
		HTTPClient: d.c.http, Transports: []signalr.Transport{kind}, HandshakeTimeout: checkTime, OnClosed: closed,
	})
	ctx, cancel := context.WithTimeout(d.ctx, checkTime)
	defer cancel()
	return hub, hub.Start(ctx)
}

// transports tries each one alone, since clients fall back without a word.
func (d *doctor) transports(path string) {
	for _, x := range []struct {
		kind   signalr.Transport
		advice string
	}{
		{signalr.WebSockets, "Let proxy and firewall pass WebSockets: in nginx proxy_http_version 1.1 with the headers Upgrade and Connection. Until then clients fall back to slower ways."},
		{signalr.ServerSentEvents, "Switch response buffering off in the proxy for /hubs/ (nginx: proxy_buffering off), and let responses last."},
		{signalr.LongPolling, "Give requests to /hubs/ at least 100 seconds in the proxy, and send all of a connection to the same server."},
	} {
		hub, err := d.open(path, x.kind, nil)
		if err != nil {
			v := doubt
			if x.kind == signalr.WebSockets {
				v = broken
			}
			d.report(v, x.kind.String(), err.Error(), x.advice)
			continue
		}
		stopHub(d.ctx, hub)
		d.report(fine, x.kind.String(), "connects", "")
	}
}

// subscription watches the newest task: its newest event has to come.
func (d *doctor) subscription(paths []string) {
	const what = "Subscription"
	var page struct{ Data []taskStatus }
	ctx, cancel := context.WithTimeout(d.ctx, checkTime)
	defer cancel()
	if err := d.c.call(ctx, http.MethodGet, "/v1/tasks?limit=1", nil, &page); err != nil {
		d.report(skipped, what, "the key's tasks cannot be listed: "+err.Error(), "")
		return
	}
	if len(page.Data) == 0 {
		d.report(skipped, what, "there is no task yet", "Make one and ask again: conduit generate image \"a paper boat\".")
		return
	}
	t := page.Data[0]
	path := "/hubs/" + t.Kind + "-generation"
	if !slices.Contains(paths, path) {
		d.report(skipped, what, "the newest task is of a kind whose hub the key may not use", "")
		return
	}
	hub, err := d.open(path, signalr.WebSockets, nil)
	if err != nil {
		if hub, err = d.open(path, signalr.LongPolling, nil); err != nil {
			d.report(broken, what, err.Error(), "")
			return
		}
	}
	defer stopHub(d.ctx, hub)
	came := make(chan string, 16)
	for _, name := range []string{"Started", "Progress", "Completed", "Failed", "Cancelled"} {
		hub.On(name, func(e event) {
			select {
			case came <- e.EventType:
			default:
			}
		})
	}
	if err := hub.Invoke(ctx, "SubscribeToTask", nil, t.TaskID); err != nil {
		d.report(broken, what, err.Error(), "")
		return
	}
	select {
	case name := <-came:
		d.report(fine, what, name+" of "+t.TaskID+" came", "")
	case <-ctx.Done():
		d.report(broken, what, "no event of "+t.TaskID+" came", "Look for buffering in the proxy; in clients, register handlers before SubscribeToTask and subscribe again after each reconnect.")
	}
}

// slow is a round trip that people feel.
const slow = 250 * time.Millisecond

func (d *doctor) latency(path string) {
	const what = "Latency"
	hub, err := d.open(path, signalr.WebSockets, nil)
	if err != nil {
		d.report(skipped, what, "no WebSocket", "")
		return
	}
	defer stopHub(d.ctx, hub)
	method, args := "UnsubscribeFromTasks", []any{[]string{}}
	if strings.HasSuffix(path, "navigation-state") {
		method, args = "GetNavigationState", nil
	}
	var trips []time.Duration
	for range 7 {
		ctx, cancel := context.WithTimeout(d.ctx, checkTime)
		begun := time.Now()
		err := hub.Invoke(ctx, method, nil, args...)
		cancel()
		if err != nil {
			d.report(broken, what, err.Error(), "Look at the server's log.")
			return
		}
		trips = append(trips, time.Since(begun))
	}
	slices.Sort(trips)
	median := trips[len(trips)/2].Round(10 * time.Microsecond)
	if median > slow {
		d.report(doubt, what, fmt.Sprintf("a call takes %s", median), "Check the network path to the server (distance, VPN, proxies) and the load of its machine.")
		return
	}
	d.report(fine, what, fmt.Sprintf("a call takes %s", median), "")
}

// idle holds a connection on which nothing but pings happens.
func (d *doctor) idle(path string, period time.Duration) {
	const what = "Idle connection"
	if period <= 0 {
		return
	}
	lost := make(chan error, 1)
	hub, err := d.open(path, signalr.WebSockets, func(cause error) { lost <- cause })
	if err != nil {
		d.report(skipped, what, "no WebSocket", "")
		return
	}
	defer stopHub(d.ctx, hub)
	wait := time.NewTimer(period)
	defer wait.Stop()
	begun := time.Now()
	select {
	case <-d.ctx.Done():
	case <-wait.C:
		d.report(fine, what, fmt.Sprintf("lives for %s and longer", period), "")
	case cause := <-lost:
		d.report(broken, what, fmt.Sprintf("was cut after %s: %v", time.Since(begun).Round(time.Second), cause),
			"Make the proxy's read timeout longer than SignalR:KeepAliveInterval (15 s), or that shorter.")
	}
}

// backplane reads what the server says of itself.
func (d *doctor) backplane() {
	const what = "Backplane"
	res, err := d.get("/health/signalr")
	var h struct {
		Status    string
		Backplane *backplane
	}
	switch {
	case err != nil:
		d.report(broken, what, err.Error(), "")
		return
	case res.code != http.StatusOK || json.Unmarshal(res.body, &h) != nil:
		d.report(broken, what, "/health/signalr answered "+res.status, "Let the proxy pass /health/ on.")
		return
	}
	found := "one instance, none is needed"
	if h.Backplane != nil {
		found = h.Backplane.Kind
		d.redis(*h.Backplane)
	}
	if h.Status != "Healthy" {
		d.report(doubt, what, strings.Join(reasons(res.body), " "), "See Health in docs/operations.md.")
		return
	}
	d.report(fine, what, found, "")
}

// backplane is what a server says of what joins it with others.
type backplane struct {
	Kind      string
	LatencyMs *float64 // nil: it does not answer
}

// slowRedis is an answer of Redis that each event waits for noticeably.
const slowRedis = 25 // milliseconds

func (d *doctor) redis(b backplane) {
	const what = "Redis latency"
	switch {
	case b.LatencyMs == nil:
		d.report(doubt, what, "Redis does not answer the server", "See that it runs, that its firewall lets the server in, and that ConnectionStrings:Redis or Redis:Configuration names it with its password (conduit config shows them).")
	case *b.LatencyMs > slowRedis:
		d.report(doubt, what, fmt.Sprintf("an answer takes %.1f ms", *b.LatencyMs), "Put Redis near to the servers, and look at its load (redis-cli --latency).")
	default:
		d.report(fine, what, fmt.Sprintf("an answer takes %.1f ms", *b.LatencyMs), "")
	}
}
