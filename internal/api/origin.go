package api

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/knnlabs/conduit/internal/key"
)

// origin is the scheme and host that a request's own links are made with:
// PublicURL, else those under which the browser sees us (key.Origin). guard
// has refused what is no host.
func (h *Handler) origin(r *http.Request) string { return h.linkBase(key.Origin(r, "")) }

// linkBase is the origin of a result's links: PublicURL, else that of the
// request that submitted the task.
func (h *Handler) linkBase(submitted string) string {
	if h.o.PublicURL != "" {
		return strings.TrimSuffix(h.o.PublicURL, "/")
	}
	return submitted
}

// validHost reports whether s is a host name, an IPv4 address or a bracketed
// IPv6 address, with an optional port: all that may become part of a link.
func validHost(s string) bool {
	host := s
	if strings.HasPrefix(s, "[") || strings.Contains(s, ":") {
		if strings.HasSuffix(s, "]") {
			host = s[1 : len(s)-1]
		} else {
			h, port, err := net.SplitHostPort(s)
			if err != nil {
				return false
			}
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
				return false
			}
			host = h
		}
		if strings.HasPrefix(s, "[") {
			a, err := netip.ParseAddr(host)
			return err == nil && a.Is6() && a.Zone() == ""
		}
	}
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			switch c := label[i]; {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return false
			}
		}
	}
	return true
}
