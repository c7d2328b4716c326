package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// check tells what is wrong with the text of a setting, "" when nothing is.
func check(f field, text string) string {
	if enum := f.tag.Get("enum"); enum != "" {
		words := strings.Split(enum, ",")
		if !slices.Contains(words, strings.ToLower(text)) {
			return "write one of " + strings.Join(words, ", ")
		}
		return ""
	}
	switch f.tag.Get("check") {
	case "required":
		if text == "" || strings.ContainsRune(text, 0) {
			return "it may not be empty"
		}
	case "urls":
		if _, err := parseURLs(text); err != nil {
			return err.Error()
		}
	case "urlsOrNone":
		if text != "" {
			if _, err := ListenAddresses(text); err != nil {
				return err.Error()
			}
		}
	case "origin":
		if text != "" {
			return checkOrigin(text)
		}
	case "origins":
		if text != "*" {
			return checkOrigin(text)
		}
	case "networks":
		if _, err := ParseNetwork(text); err != nil {
			return "write an address such as 10.0.0.1 or a network such as 10.0.0.0/8"
		}
	case "redis":
		if text != "" {
			if _, err := ParseRedis(text); err != nil {
				return err.Error()
			}
		}
	}
	return ""
}

func checkOrigin(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || !portFits(u.Port()) {
		return "write scheme, host and port only, such as https://media.example"
	}
	return ""
}

func portFits(p string) bool {
	if p == "" {
		return true
	}
	_, err := strconv.ParseUint(p, 10, 16)
	return err == nil
}

// ParseNetwork reads an address or a network in CIDR form.
func ParseNetwork(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// Listen is an address to listen on.
type Listen struct {
	Address string // for net.Listen
	TLS     bool
}

// ListenAddresses turns addresses without TLS
// ("http://127.0.0.1:5000;http://[::1]:5000") into those for net.Listen.
func ListenAddresses(urls string) ([]string, error) {
	list, err := parseURLs(urls)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, l := range list {
		if l.TLS {
			return nil, fmt.Errorf("https is not served here; write addresses as http://127.0.0.1:5000")
		}
		out = append(out, l.Address)
	}
	return out, nil
}

// parseURLs reads Urls. "*", "+" and an empty host mean every interface;
// without a port it is 80, for https 443.
func parseURLs(urls string) ([]Listen, error) {
	var out []Listen
	for part := range strings.SplitSeq(urls, ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		scheme, rest, ok := strings.Cut(part, "://")
		if !ok {
			return nil, fmt.Errorf("write addresses as http://127.0.0.1:5000, with semicolons between several")
		}
		secure := strings.EqualFold(scheme, "https")
		rest = strings.TrimSuffix(rest, "/")
		host, port := rest, "80"
		if secure {
			port = "443"
		}
		if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.HasSuffix(rest, "]") {
			host, port = rest[:i], rest[i+1:]
		}
		if !secure && !strings.EqualFold(scheme, "http") || strings.ContainsAny(rest, "/?#@ ") || port == "" || !portFits(port) {
			return nil, fmt.Errorf("write addresses as http://127.0.0.1:5000, with semicolons between several")
		}
		switch {
		case host == "*" || host == "+":
			host = ""
		case strings.HasPrefix(host, "["):
			a, err := netip.ParseAddr(strings.Trim(host, "[]"))
			if err != nil || !a.Is6() || !strings.HasSuffix(host, "]") {
				return nil, fmt.Errorf("%s is no IPv6 address", host)
			}
		case strings.Contains(host, ":"):
			return nil, fmt.Errorf("an IPv6 address needs brackets: http://[::1]:5000")
		}
		out = append(out, Listen{Address: host + ":" + port, TLS: secure})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("at least one address is needed, such as http://127.0.0.1:5000")
	}
	return out, nil
}
