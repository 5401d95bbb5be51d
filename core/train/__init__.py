"""What training loops share: phases that can be resumed in the same bits, and minibatch order."""
