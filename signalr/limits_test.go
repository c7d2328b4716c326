package signalr

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// notLimits are the numbers among the options that bound nothing.
var notLimits = map[string]bool{
	"HubOptions.KeepAliveInterval": true, "HubOptions.MinimumNegotiateVersion": true, "HubOptions.ShutdownWindow": true,
	"HubOptions.JSONNames": true, "HubOptions.MessagePackNames": true, "HubOptions.MessagePackTimes": true,
	"ClientOptions.KeepAliveInterval": true, "ClientOptions.RefreshBeforeExpiration": true,
	"ClientOptions.Names": true, "ClientOptions.MessagePackTimes": true,
}

// fixedLimits are the limits of this package without an option, by what the
// page calls them.
var fixedLimits = map[string]int64{
	"bytes taken in while `OnConnected` runs":             openingBytes,
	"unread bytes of a connection in memory (`Hub.Dial`)": pipeWindow,
	"bytes that wait to be written":                       clientQueueBytes,
	"time of one attempt to connect":                      int64(attemptTimeout),
}

// optionLimits are the numbers among the options, with their defaults.
func optionLimits() map[string]int64 {
	all := make(map[string]int64)
	var add func(prefix string, v reflect.Value)
	add = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			field, name := v.Field(i), prefix+v.Type().Field(i).Name
			switch {
			case field.Type() == reflect.TypeFor[Limits]():
				add(name+".", field)
			case field.CanInt() && !notLimits[name]:
				all[name] = field.Int()
			}
		}
	}
	add("HubOptions.", reflect.ValueOf(HubOptions{}.withDefaults()))
	add("ClientOptions.", reflect.ValueOf(ClientOptions{}.withDefaults()))
	return all
}

// amount reads a number with its unit as the pages write it: "4,096", "1 MiB",
// "100000 B", "15 s".
func amount(t *testing.T, text string) int64 {
	t.Helper()
	number, unit, _ := strings.Cut(strings.ReplaceAll(text, ",", ""), " ")
	n, err := strconv.ParseInt(number, 10, 64)
	factor, known := map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "s": int64(time.Second)}[unit]
	if err != nil || !known {
		t.Errorf("%q is no amount", text)
	}
	return n * factor
}

// TestLimitsAreDocumented: the tables of docs/signalr/README.md and of the
// package's tour list every limit, with the default that it has.
func TestLimitsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/signalr/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Limits\n")
	section, _, _ = strings.Cut(section, "\n## ")
	options, fixed, seen := optionLimits(), 0, make(map[string]bool)
	kind := "HubOptions."
	for _, row := range regexp.MustCompile(`(?m)^\| (.*?) \| (.*?) \| (.*?) ?\| .* \|$`).FindAllStringSubmatch(section, -1) {
		what, value, option := row[1], row[2], row[3]
		switch {
		case what == "what":
			kind = strings.Trim(strings.Fields(option)[2], "`") + "."
		case strings.HasPrefix(option, "`"):
			name := kind + strings.Split(option, "`")[1]
			want, ok := options[name]
			if got := amount(t, value); !ok || got != want {
				t.Errorf("%s is %s on the page, %d in the code", name, value, want)
			}
			seen[name] = true
		default:
			if want, ok := fixedLimits[what]; ok {
				fixed++
				if got := amount(t, value); got != want {
					t.Errorf("%s: %s on the page, %d in the code", what, value, want)
				}
			}
		}
	}
	if fixed != len(fixedLimits) {
		t.Errorf("%d of %d fixed limits are on the page", fixed, len(fixedLimits))
	}
	tour, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	toured := make(map[string]bool)
	for _, row := range regexp.MustCompile(`(?m)^//	(\d+(?: \w+)?)  +([\w.]+)  +\w`).FindAllStringSubmatch(string(tour), -1) {
		name := "HubOptions." + row[2]
		if want, ok := options[name]; !ok || amount(t, row[1]) != want {
			t.Errorf("%s is %s in the tour, %d in the code", name, row[1], want)
		}
		toured[name] = true
	}
	for name := range options {
		if !seen[name] {
			t.Errorf("%s is not on the page", name)
		}
		if !toured[name] && strings.HasPrefix(name, "HubOptions.") {
			t.Errorf("%s is not in the tour", name)
		}
	}
}

// TestOptionsThatCannotWork: they are told when they are given.
func TestOptionsThatCannotWork(t *testing.T) {
	for _, c := range []struct {
		opts ClientOptions
		want string
	}{
		{ClientOptions{Protocol: "xml"}, `there is no protocol "xml"`},
		{ClientOptions{HandshakeTimeout: -1}, "HandshakeTimeout is -1ns, must be positive"},
		{ClientOptions{QueueMessages: -1}, "QueueMessages is -1, must be positive"},
		{ClientOptions{StatefulReconnectBufferSize: -1}, "StatefulReconnectBufferSize is -1, must be positive"},
		{ClientOptions{Transports: []Transport{InMemory}}, fmt.Sprintf("Transports has %d, must be WebSockets, ServerSentEvents or LongPolling", InMemory)},
	} {
		func() {
			defer func() {
				if got := recover(); got != "signalr: NewClient: "+c.want {
					t.Errorf("%v, want %s", got, c.want)
				}
			}()
			NewClient("http://example.test", c.opts)
		}()
	}
}
