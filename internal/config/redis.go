package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// RedisConfiguration is a connection string of StackExchange.Redis, read.
type RedisConfiguration struct {
	Endpoints []string          // host:port
	Options   map[string]string // by lower-case name; values as written
}

// The options that StackExchange.Redis knows, in lower case.
var redisOptions = []string{
	"abortconnect", "allowadmin", "asynctimeout", "channelprefix", "checkcertificaterevocation", "clientname",
	"configchannel", "configcheckseconds", "connectretry", "connecttimeout", "defaultdatabase", "heartbeatconsistencychecks",
	"heartbeatinterval", "highintegrity", "keepalive", "name", "password", "protocol", "proxy", "resolvedns",
	"responsetimeout", "servicename", "setclientlibrary", "ssl", "sslhost", "sslprotocols", "synctimeout", "tiebreaker",
	"tunnel", "user", "version", "writebuffer",
}

// ParseRedis reads "host:6379,host2,password=...,ssl=true", or an address
// "redis://user:password@host:6379/0" (rediss: with TLS). The text of an
// error holds no password.
func ParseRedis(s string) (RedisConfiguration, error) {
	r := RedisConfiguration{Options: map[string]string{}}
	if scheme, _, ok := strings.Cut(s, "://"); ok && (strings.EqualFold(scheme, "redis") || strings.EqualFold(scheme, "rediss")) {
		return parseRedisURL(s)
	}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, option := strings.Cut(part, "=")
		if option {
			name = strings.ToLower(strings.TrimSpace(name))
			switch {
			case strings.HasPrefix(name, "$"): // a renamed command
			case !slices.Contains(redisOptions, name):
				return r, fmt.Errorf("the connection string has an option that Redis connections do not have: %q (a comma in a password cannot be written)", clip(name))
			}
			r.Options[name] = strings.TrimSpace(value)
			continue
		}
		e, err := endpoint(part)
		if err != nil {
			return r, err
		}
		r.Endpoints = append(r.Endpoints, e)
	}
	if len(r.Endpoints) == 0 {
		return r, errors.New("the connection string names no server; write localhost:6379")
	}
	for _, name := range []string{"ssl", "abortconnect", "allowadmin", "resolvedns"} {
		if v, ok := r.Options[name]; ok && !slices.Contains([]string{"true", "false", "yes", "no"}, strings.ToLower(v)) {
			return r, fmt.Errorf("%s in the connection string is true or false", name)
		}
	}
	for _, name := range []string{"connecttimeout", "synctimeout", "asynctimeout", "connectretry", "defaultdatabase", "keepalive"} {
		if v, ok := r.Options[name]; ok {
			if _, err := strconv.ParseUint(v, 10, 31); err != nil && v != "-1" {
				return r, fmt.Errorf("%s in the connection string is a whole number", name)
			}
		}
	}
	return r, nil
}

func parseRedisURL(s string) (RedisConfiguration, error) {
	r := RedisConfiguration{Options: map[string]string{}}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		// The parser's own error quotes the address with its password.
		return r, errors.New("the address cannot be read; write redis://host:6379")
	}
	e, err := endpoint(u.Host)
	if err != nil {
		return r, err
	}
	r.Endpoints = []string{e}
	if strings.EqualFold(u.Scheme, "rediss") {
		r.Options["ssl"] = "true"
	}
	if u.User != nil {
		if name := u.User.Username(); name != "" {
			r.Options["user"] = name
		}
		if p, ok := u.User.Password(); ok {
			r.Options["password"] = p
		}
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if _, err := strconv.ParseUint(db, 10, 31); err != nil {
			return r, errors.New("the path of the address is a database number, as in redis://host:6379/0")
		}
		r.Options["defaultdatabase"] = db
	}
	return r, nil
}

// endpoint completes host[:port] with Redis' port.
func endpoint(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.Trim(s, "[]"), "6379"
	}
	n, perr := strconv.ParseUint(port, 10, 16)
	if host == "" || perr != nil || n == 0 || strings.ContainsAny(host, " @/\\?#") {
		return "", errors.New("the connection string holds something that is no server; write host:port, such as localhost:6379")
	}
	return net.JoinHostPort(host, port), nil
}

// blot stands where a secret would.
const blot = "***"

// secretWords name the parts of connection strings that are shown to
// nobody.
var secretWords = []string{"password", "pwd", "secret", "accountkey", "accesskey", "token", "apikey"}

// Redact blots the secrets out of a connection string or address. When in
// doubt it blots too much.
func Redact(s string) string {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		scheme := ""
		if i := strings.Index(s[:at], "://"); i >= 0 {
			scheme = s[:i+3]
		}
		s = scheme + blot + s[at:]
	}
	// A secret may hold commas or semicolons: from a secret word on, blot until
	// something that looks like the next option.
	var out strings.Builder
	rest := s
	for rest != "" {
		end := strings.IndexAny(rest, ",;?&")
		part, sep := rest, ""
		if end >= 0 {
			part, sep = rest[:end], rest[end:end+1]
			rest = rest[end+1:]
		} else {
			rest = ""
		}
		name, _, ok := strings.Cut(part, "=")
		if !ok || !isSecret(name) {
			out.WriteString(part + sep)
			continue
		}
		out.WriteString(name + "=" + blot)
		rest = skipSecret(rest, &sep)
		out.WriteString(sep)
	}
	return out.String()
}

// skipSecret drops what may still belong to a secret: everything up to a part
// that is a known option.
func skipSecret(rest string, sep *string) string {
	for rest != "" {
		name, _, ok := strings.Cut(rest, "=")
		if ok && slices.Contains(redisOptions, strings.ToLower(strings.TrimSpace(name))) {
			return rest
		}
		end := strings.IndexAny(rest, ",;?&")
		if end < 0 {
			*sep = ""
			return ""
		}
		*sep = rest[end : end+1]
		rest = rest[end+1:]
	}
	return rest
}

func isSecret(name string) bool {
	name = strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(name, " ", ""), "_", ""))
	return slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(name, w) })
}

// quoted is the value of the setting at path as it may be shown.
func quoted(path, value string) string {
	p := fold(path)
	if strings.HasPrefix(p, "connectionstrings") || strings.HasPrefix(p, "redis") || isSecret(p) {
		value = Redact(value)
		if isSecret(p) && value != "" {
			value = blot
		}
	}
	return strconv.Quote(clip(value))
}

func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
