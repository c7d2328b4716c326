package signalr

import (
	"net/http"

	"github.com/knnlabs/conduit/signalr/internal/transport"
)

// Redirect answers a negotiation, a POST to the path of a hub + "/negotiate", by
// sending the client to the hub at url, an absolute one whose query is kept. With
// an accessToken the client shows that from then on in place of its own. Mount
// it in front of a hub, or where there is none:
//
//	mux.HandleFunc("POST /hubs/chat/negotiate", func(w http.ResponseWriter, r *http.Request) {
//		signalr.Redirect(w, r, "https://chat-2.example.com/hubs/chat", tokenFor(r))
//	})
func Redirect(w http.ResponseWriter, r *http.Request, url, accessToken string) {
	transport.Redirect(w, r, url, accessToken)
}
