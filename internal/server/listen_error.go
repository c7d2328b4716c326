package server

import (
	"errors"
	"fmt"
	"syscall"
)

// cannotListen says what to do when an address cannot be listened on.
func cannotListen(address string, err error) error {
	advice := "choose another address with --urls http://127.0.0.1:5001 or Urls in appsettings.json"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program, perhaps another Conduit; stop it, or %s", address, advice)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s needs more rights than this user has (ports below 1024 do); %s", address, advice)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is no address of this machine; %s", address, advice)
	}
	return fmt.Errorf("%s cannot be listened on: %w; %s", address, err, advice)
}
