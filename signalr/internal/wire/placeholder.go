package wire

import (
	"encoding/json"
	"errors"
)

var errNotYet = errors.New("wire: not there yet")

func (JSONProtocol) AppendValue(dst []byte, v any, _ Casing) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(dst, b...), err
}

func (JSONProtocol) DecodeValue(raw Raw, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return &BindError{Want: "Object", Err: err}
	}
	return nil
}

func (MessagePackProtocol) AppendValue(dst []byte, _ any, _ Casing) ([]byte, error) {
	return dst, errNotYet
}
func (MessagePackProtocol) DecodeValue(_ Raw, _ any) error {
	return &BindError{Want: "Object", Err: errNotYet}
}
